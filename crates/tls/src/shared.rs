//! A client's TLS whose files can be read again while it is used.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::ClientConfig;

use crate::{ClientTls, TlsError};

/// What all connections to one place are made with. Cloning shares it.
#[derive(Clone)]
pub struct SharedTls {
    shared: Arc<Shared>,
}

struct Shared {
    files: ClientTls,
    config: RwLock<Arc<ClientConfig>>,
}

impl std::fmt::Debug for SharedTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SharedTls").field(&self.shared.files).finish()
    }
}

impl SharedTls {
    /// Reads the files.
    ///
    /// # Errors
    /// As [`ClientTls::load`].
    pub fn load(files: ClientTls) -> Result<Self, TlsError> {
        let config = RwLock::new(Arc::new(files.load()?));
        Ok(Self { shared: Arc::new(Shared { files, config }) })
    }

    /// What a connection is made with now. Those of one reading of the files share their sessions with the server.
    #[must_use]
    pub fn current(&self) -> Arc<ClientConfig> {
        self.shared.config.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the same files again. Connections that there are stay as they are.
    ///
    /// # Errors
    /// As [`ClientTls::load`]; what was there stays in use.
    pub fn reload(&self) -> Result<(), TlsError> {
        let config = Arc::new(self.shared.files.load()?);
        *self.shared.config.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }
}

//! Who is let in, and how.

use std::fmt;
use std::path::PathBuf;

use mqttchat_bridge::{JwtAlgorithm, Signing};
use warp::http::Uri;

use super::error::ConfigError;
use super::layers::{Layers, text};

/// `[auth]`: who is let in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AuthConfig {
    /// By tokens of the operator's application; `None`: guests.
    pub jwt: Option<JwtConfig>,
    /// Whether clients sign what they send.
    pub signing: Signing,
}

/// `[auth.jwt]`: the tokens of the operator's application.
#[derive(Clone, PartialEq)]
pub struct JwtConfig {
    /// Where the keys are.
    pub keys: JwtPlace,
    /// How tokens may be signed; empty: as the keys allow.
    pub algorithms: Vec<JwtAlgorithm>,
    /// Who has to have issued them.
    pub issuer: Option<String>,
    /// For whom they have to be.
    pub audience: Vec<String>,
    /// How far clocks may differ, in seconds.
    pub leeway: u64,
}

/// Where keys are.
#[derive(Clone, PartialEq, Eq)]
pub enum JwtPlace {
    /// In a file.
    File(PathBuf),
    /// In a JSON Web Key Set, at this address.
    Url(Uri),
}

impl fmt::Debug for JwtConfig {
    /// Leaves out what may be a secret in the URL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtConfig")
            .field("keys", &self.keys)
            .field("algorithms", &self.algorithms)
            .field("issuer", &self.issuer)
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for JwtPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Url(url) => write!(f, "{}", url.host().unwrap_or_default()),
        }
    }
}

/// Reads the section.
pub(super) fn auth(layers: &Layers) -> Result<AuthConfig, ConfigError> {
    let is_jwt = layers.parse("auth.mode", false, "\"guest\" or \"jwt\"", |value| match text(value)? {
        "guest" => Some(false),
        "jwt" => Some(true),
        _ => None,
    })?;
    let signing =
        layers.parse("auth.signing", Signing::Off, "\"off\", \"optional\" or \"required\"", |value| {
            match text(value)? {
                "off" => Some(Signing::Off),
                "optional" => Some(Signing::Optional),
                "required" => Some(Signing::Required),
                _ => None,
            }
        })?;
    let jwt = jwt(layers)?;
    match (is_jwt, jwt) {
        (true, None) => Err(ConfigError::Together(
            "auth.mode is \"jwt\", but nothing says by which keys tokens are known: give auth.jwt.key_file or \
             auth.jwt.jwks_url"
                .to_owned(),
        )),
        (is_jwt, jwt) => Ok(AuthConfig { jwt: jwt.filter(|_| is_jwt), signing }),
    }
}

/// May have a token in its path.
fn jwks_url(text: &str) -> Result<Uri, &'static str> {
    const FORM: &str = "has to be like https://login.example.com/jwks.json";
    let url: Uri = text.parse().map_err(|_| FORM)?;
    let is_http = matches!(url.scheme_str(), Some("http" | "https"));
    match url.authority() {
        Some(authority) if authority.as_str().contains('@') => Err("can't have a login in it"),
        Some(authority) if is_http && !authority.host().is_empty() => Ok(url),
        _ => Err(FORM),
    }
}

fn jwt(layers: &Layers) -> Result<Option<JwtConfig>, ConfigError> {
    let file = layers
        .parse_given("auth.jwt.key_file", "a file with keys", |value| text(value).map(PathBuf::from))?;
    let url = layers.secret("auth.jwt.jwks_url", jwks_url)?;
    let algorithms =
        layers.list("auth.jwt.algorithms", "a list of HS256, RS256, ES256 and EdDSA", JwtAlgorithm::parse)?;
    let issuer = layers
        .parse_given("auth.jwt.issuer", "what tokens have as iss", |value| text(value).map(str::to_owned))?;
    let audience =
        layers.list("auth.jwt.audience", "what tokens have as aud, or a list of it", |audience| {
            (!audience.is_empty()).then(|| audience.to_owned())
        })?;
    let leeway = layers.number("auth.jwt.leeway", 5, 0, 300)?;
    let keys = match (file, url) {
        (Some(_), Some(_)) => {
            let reason = "auth.jwt.key_file and auth.jwt.jwks_url both say where keys are: give one of them";
            return Err(ConfigError::Together(reason.to_owned()));
        }
        (Some(file), None) => JwtPlace::File(file),
        (None, Some(url)) => JwtPlace::Url(url),
        (None, None) => return Ok(None),
    };
    if algorithms.is_empty() && layers.get("auth.jwt.algorithms").is_some() {
        let reason =
            "auth.jwt.algorithms names none, so nobody could come in: leave it out, and the keys decide";
        return Err(ConfigError::Together(reason.to_owned()));
    }
    if matches!(keys, JwtPlace::Url(_)) && algorithms.contains(&JwtAlgorithm::Hs256) {
        let reason =
            "auth.jwt.algorithms has HS256, whose secret can't come from auth.jwt.jwks_url: give a key_file";
        return Err(ConfigError::Together(reason.to_owned()));
    }
    Ok(Some(JwtConfig { keys, algorithms, issuer, audience, leeway }))
}

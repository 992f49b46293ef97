//! What later entries have made of a message, from how the databases tell it.

use std::collections::BTreeMap;

use mqttchat_protocol::{Marks, Party};

/// A message's marks. `reactions`: pairs of emoji and party, as JSON. `None` when there is nothing to show, or, for
/// `Err`, when the reactions can't be read.
pub(crate) fn marks(
    edited: Option<u64>,
    deleted: bool,
    reactions: Option<&str>,
) -> Result<Option<Box<Marks>>, String> {
    let mut by_emoji: BTreeMap<String, Vec<Party>> = BTreeMap::new();
    if let Some(reactions) = reactions {
        let pairs: Vec<(String, String)> =
            serde_json::from_str(reactions).map_err(|error| format!("reactions: {error}"))?;
        for (emoji, party) in pairs {
            let party = Party::parse(&party).ok_or_else(|| format!("the party {party:?}"))?;
            by_emoji.entry(emoji).or_default().push(party);
        }
        by_emoji.values_mut().for_each(|parties| parties.sort_unstable());
    }
    let marks = Marks { edited, reactions: by_emoji, deleted };
    Ok((marks != Marks::default()).then(|| Box::new(marks)))
}

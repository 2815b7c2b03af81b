//! Taking a body apart without reading its commands.

use bytes::Bytes;
use messages::delivery;
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    commands: Vec<&'a RawValue>,
}

/// One body for each command of a body, as it stood there; none of what is no such body.
pub(crate) fn split(body: &[u8]) -> Vec<Bytes> {
    let commands = serde_json::from_slice(body).map_or_else(|_| Vec::new(), |Body { commands }| commands);
    commands.into_iter().map(|command| delivery::join_commands([command.get().as_bytes()]).into()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_of_any_version_are_split_as_they_are() {
        let (one, two) = (br#"{"id":1,"new": [ 1.0 ]}"#, b"{}");
        let bodies = split(&delivery::join_commands([&one[..], &two[..]]));
        assert_eq!(bodies, [delivery::join_commands([&one[..]]), delivery::join_commands([&two[..]])]);
        assert!(split(b"nonsense").is_empty());
    }
}

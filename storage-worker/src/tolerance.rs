//! How many failed nodes the replication bears, and whether that is what the operator has declared. Rules as pure
//! functions; the sentences are those of readiness, log and `penstock doctor`.

use crate::store::cassandra::Standing;

/// What is to be said about the failures that are tolerated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it is as declared; if nothing is, whether all the replication promises is there.
    pub holds: bool,
    /// How it is, and what to do.
    pub sentence: String,
}

/// Nodes that may be gone while a majority of the copies of everything answers.
pub fn tolerated(copies: usize, nodes: usize) -> usize {
    let majority = copies / 2 + 1;
    copies.min(nodes).saturating_sub(majority)
}

/// Compares the replication, and the nodes that can be reached, with the failures that are declared to be tolerated.
pub fn judge(standing: &Standing, declared: Option<u8>) -> Verdict {
    let (copies, nodes) = (standing.copies, standing.nodes.len());
    if copies == 0 {
        let sentence = "the keyspace is not known: run `storage-worker migrate`".to_owned();
        return Verdict { holds: false, sentence };
    }
    let tolerated = tolerated(copies, nodes);
    let wanted = declared.map_or(tolerated, usize::from);
    let complete = standing.unreachable.is_empty();
    let mut sentence = bears(copies, nodes, tolerated);
    if wanted > tolerated {
        let remedy = remedy(2 * wanted + 1, nodes);
        sentence = format!("{sentence}; {remedy} or declare {tolerated}");
    }
    if !complete {
        sentence = format!("{sentence}. {}", missing(standing, tolerated));
    }
    Verdict { holds: complete && wanted <= tolerated, sentence }
}

/// `2 replicas tolerate 0 failed nodes`
fn bears(copies: usize, nodes: usize, tolerated: usize) -> String {
    let place = if copies > nodes { format!(" on {}", count(nodes, "node")) } else { String::new() };
    let verb = if copies == 1 { "tolerates" } else { "tolerate" };
    format!("{}{place} {verb} {}", count(copies, "replica"), count(tolerated, "failed node"))
}

fn remedy(needed: usize, nodes: usize) -> String {
    match needed.saturating_sub(nodes) {
        0 => "raise the replication with `penstock storage replicate`".to_owned(),
        1 => "add a node".to_owned(),
        more => format!("add {more} nodes"),
    }
}

/// Some nodes cannot be reached: how far that is from trouble.
fn missing(standing: &Standing, tolerated: usize) -> String {
    let away = standing.unreachable.len();
    let who = standing.unreachable.join(", ");
    let rest = match tolerated.checked_sub(away) {
        Some(0) => "the next failed node makes writes wait".to_owned(),
        Some(spare) => format!("{} more may fail", count(spare, "node")),
        None if standing.copies == 2 => {
            "writes wait until it is back, and reads are answered by one replica".to_owned()
        }
        None => "what has its majority there waits until it is back".to_owned(),
    };
    format!("{away} of {} cannot be reached ({who}): {rest}", count(standing.nodes.len(), "node"))
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(copies: usize, nodes: usize, away: usize) -> Standing {
        let nodes: Vec<String> = (1..=nodes).map(|node| format!("n{node}:9042")).collect();
        Standing { copies, unreachable: nodes[nodes.len() - away..].to_vec(), nodes }
    }

    fn says(copies: usize, nodes: usize, away: usize, declared: Option<u8>) -> (bool, String) {
        let verdict = judge(&standing(copies, nodes, away), declared);
        (verdict.holds, verdict.sentence)
    }

    #[test]
    fn a_majority_must_be_left() {
        let table = [(1, 1, 0), (2, 2, 0), (3, 3, 1), (3, 2, 0), (3, 1, 0), (3, 9, 1), (4, 4, 1), (5, 5, 2)];
        for (copies, nodes, failures) in table {
            assert_eq!(tolerated(copies, nodes), failures, "{copies} on {nodes}");
        }
    }

    #[test]
    fn what_cannot_hold_is_said_with_what_to_do() {
        for (copies, nodes, declared, sentence) in [
            (2, 2, 1, "2 replicas tolerate 0 failed nodes; add a node or declare 0"),
            (1, 1, 1, "1 replica tolerates 0 failed nodes; add 2 nodes or declare 0"),
            (3, 2, 1, "3 replicas on 2 nodes tolerate 0 failed nodes; add a node or declare 0"),
            (3, 3, 2, "3 replicas tolerate 1 failed node; add 2 nodes or declare 1"),
        ] {
            assert_eq!(says(copies, nodes, 0, Some(declared)), (false, sentence.to_owned()));
        }
        let (holds, sentence) = says(2, 3, 0, Some(1));
        assert!(!holds && sentence.contains("raise the replication with `penstock storage replicate`"));
    }

    #[test]
    fn what_holds_is_reported_and_so_is_a_node_that_is_away() {
        assert_eq!(says(3, 3, 0, None), (true, "3 replicas tolerate 1 failed node".to_owned()));
        assert!(says(3, 3, 0, Some(1)).0);
        assert_eq!(says(2, 2, 0, Some(0)), (true, "2 replicas tolerate 0 failed nodes".to_owned()));
        let (holds, sentence) = says(3, 3, 1, Some(1));
        assert!(!holds, "no further failure is tolerated");
        assert_eq!(
            sentence,
            "3 replicas tolerate 1 failed node. 1 of 3 nodes cannot be reached (n3:9042): the next failed node makes \
             writes wait"
        );
        let (_, sentence) = says(2, 2, 1, Some(1));
        assert!(
            sentence.starts_with("2 replicas tolerate 0 failed nodes; add a node or declare 0. 1 of 2 nodes")
        );
        assert!(sentence.ends_with("writes wait until it is back, and reads are answered by one replica"));
        let (_, sentence) = says(3, 3, 2, None);
        assert!(sentence.contains("(n2:9042, n3:9042): what has its majority there waits"), "{sentence}");
    }
}

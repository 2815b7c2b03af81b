//! What a record is supposed to do, one operation after the other.

use crate::history::{Asked, Condition, Content, Operation, Refusal, Token, Told};

/// A record at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct State {
    /// How often it has changed; 0: never there.
    pub(crate) version: u64,
    /// What it says, unless it is not there.
    pub(crate) content: Option<Content>,
}

impl State {
    /// What an operation makes of the record if it takes effect here; `None`: it has none.
    pub(crate) fn after(self, asked: Asked, token: Token) -> Option<Self> {
        let content = match asked {
            Asked::Create if self.version == 0 => Some(Content { whole: token, patch: 0 }),
            Asked::Replace(condition) if self.meets(condition) => Some(Content { whole: token, patch: 0 }),
            Asked::Patch(condition) if self.meets(condition) => {
                Some(Content { patch: token, ..self.content? })
            }
            Asked::Delete(condition) if self.meets(condition) => {
                self.content?;
                None
            }
            _ => return None,
        };
        Some(Self { version: self.version + 1, content })
    }

    /// Whether the answer that an operation got is the right one here, and what the record is afterwards.
    pub(crate) fn explain(self, operation: &Operation) -> Option<Self> {
        match operation.told {
            Told::Read(tag, content) => self.shows(tag.version, content).then_some(self),
            Told::Refused(refusal) => self.refuses(operation.asked, refusal).then_some(self),
            Told::Created(tag) => self
                .after(operation.asked, operation.token)
                .filter(|next| self.content.is_none() && next.version == tag.version),
            Told::Changed(tag) => self.after(operation.asked, operation.token).filter(|next| {
                self.content.is_some() && next.content.is_some() && next.version == tag.version
            }),
            Told::Deleted(version) => self
                .after(operation.asked, operation.token)
                .filter(|next| next.content.is_none() && next.version == version),
            Told::NotExecuted | Told::Closed | Told::Unknown => Some(self),
        }
    }

    fn shows(self, version: u64, content: Content) -> bool {
        self.version == version && self.content == Some(content)
    }

    fn refuses(self, asked: Asked, refusal: Refusal) -> bool {
        match (refusal, asked) {
            (
                Refusal::NotFound,
                Asked::Read | Asked::Patch(Condition::Always) | Asked::Delete(Condition::Always),
            ) => self.content.is_none(),
            (
                Refusal::Failed(shown),
                Asked::Replace(condition) | Asked::Patch(condition) | Asked::Delete(condition),
            ) => !self.meets(condition) && self.content.map(|_| self.version) == shown.map(|tag| tag.version),
            _ => false,
        }
    }

    /// Tags are told apart by their versions here; that a version has one tag only is checked elsewhere.
    fn meets(self, condition: Condition) -> bool {
        match condition {
            Condition::Always => true,
            Condition::Absent => self.content.is_none(),
            Condition::Matches(tag) => self.content.is_some() && self.version == tag.version,
        }
    }
}

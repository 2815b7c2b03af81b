//! Hand-made histories, in few words.

use crate::history::{Asked, Condition, Content, Manner, Moment, Operation, Refusal, Tag, Token, Told};

pub(crate) fn op(token: Token, asked: Asked, began: Moment, ended: Moment, told: Told) -> Operation {
    Operation { token, asked, began, ended, told, manner: Manner::Plain }
}

pub(crate) fn put() -> Asked {
    Asked::Replace(Condition::Always)
}

pub(crate) fn put_over(version: u64) -> Asked {
    Asked::Replace(Condition::Matches(tag(version)))
}

pub(crate) fn patch() -> Asked {
    Asked::Patch(Condition::Always)
}

pub(crate) fn delete() -> Asked {
    Asked::Delete(Condition::Always)
}

pub(crate) fn tag(version: u64) -> Tag {
    Tag { version, hash: 100 + version }
}

pub(crate) fn whole(token: Token) -> Content {
    Content { whole: token, patch: 0 }
}

pub(crate) fn created(version: u64) -> Told {
    Told::Created(tag(version))
}

pub(crate) fn changed(version: u64) -> Told {
    Told::Changed(tag(version))
}

pub(crate) fn read(version: u64, whole: Token, patch: Token) -> Told {
    Told::Read(tag(version), Content { whole, patch })
}

pub(crate) fn failed(version: u64) -> Told {
    Told::Refused(Refusal::Failed(Some(tag(version))))
}

pub(crate) fn not_found() -> Told {
    Told::Refused(Refusal::NotFound)
}

//! What each client does, one step after the other: a function of the seed and of nothing else.

use crate::history::Token;

/// Records that all clients quarrel about.
pub(crate) const SHARED_RECORDS: u64 = 24;
/// Tokens say which client wrote: so many operations has one at most.
const TOKENS_OF_ONE: Token = 1 << 20;

/// A sequence of numbers that depends on its seed alone, on every machine and for ever (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

/// The steps of one client.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    dice: Dice,
    client: Token,
    count: Token,
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) token: Token,
    pub(crate) verb: Verb,
    pub(crate) sending: Sending,
    /// Whether to go to another gate first.
    pub(crate) moves: bool,
    /// Whether to ask at once what became of it, where it is in doubt.
    pub(crate) asks: bool,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Create,
    Replace(u64, If),
    Patch(u64, If, Format),
    Delete(u64, If),
    Read(u64),
    List,
}

/// Under which condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum If {
    Always,
    /// Nobody has changed what this client saw last.
    Unchanged,
    Absent,
}

/// Of a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Merge,
    Json,
}

/// How to send a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sending {
    Once,
    /// With a key, until the answer is certain.
    Keyed,
    /// The same, and once more after that.
    KeyedTwice,
    /// Without waiting for the outcome, where the service can do that.
    Deferred,
    /// The same, and cancelled at once, if that is still possible.
    Cancelled,
}

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// For one fault of a run, the first time or a later one.
    pub(crate) fn of(seed: u64, fault: &str, time: u64) -> Self {
        // FNV-1a.
        let name = fault.bytes().fold(0xCBF2_9CE4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
        });
        Self::new(seed).apart(name).apart(time)
    }

    /// One of its own for each purpose.
    pub(crate) fn apart(&self, purpose: u64) -> Self {
        let mut dice = Self(self.0 ^ purpose.wrapping_mul(0xD6E8_FEB8_6659_FD93));
        dice.next();
        dice
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to one less than `sides`.
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.next() % sides
    }
}

impl Plan {
    pub(crate) fn new(dice: &Dice, client: Token) -> Self {
        Self { dice: dice.apart(u64::from(client) + 1), client, count: 0 }
    }

    fn verb(&mut self) -> Verb {
        let record = self.dice.roll(SHARED_RECORDS);
        match self.dice.roll(100) {
            0..36 => Verb::Create,
            36..50 => Verb::Replace(record, If::Always),
            50..56 => Verb::Replace(record, If::Unchanged),
            56..60 => Verb::Replace(record, If::Absent),
            60..70 => Verb::Patch(record, If::Always, Format::Merge),
            70..75 => Verb::Patch(record, If::Always, Format::Json),
            75..80 => Verb::Patch(record, If::Unchanged, Format::Merge),
            80..84 => Verb::Delete(record, If::Always),
            84..86 => Verb::Delete(record, If::Unchanged),
            86..99 => Verb::Read(record),
            _ => Verb::List,
        }
    }
}

impl Iterator for Plan {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        self.count += 1;
        let token = self.client * TOKENS_OF_ONE + self.count;
        let verb = self.verb();
        let sending = match self.dice.roll(100) {
            0..66 => Sending::Once,
            66..88 => Sending::Keyed,
            88..92 => Sending::KeyedTwice,
            92..97 => Sending::Deferred,
            _ => Sending::Cancelled,
        };
        let (moves, asks) = (self.dice.roll(50) == 0, self.dice.roll(2) == 0);
        (self.count < TOKENS_OF_ONE).then_some(Step { token, verb, sending, moves, asks })
    }
}

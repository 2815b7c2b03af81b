//! Points at which the fault suite makes a process die, or break a promise on purpose, to see whether the checkers
//! notice.
//!
//! A process obeys the variable `FAILPOINTS` (`name=action;…`, in the words of the crate `fail`), for example
//! `die-after-commit=50*off->return`: pass fifty times, then die. That is so in builds with debug assertions only: a
//! release has no failpoints, and none of their names.

/// As long as it lives, failpoints do what the variable `FAILPOINTS` says.
pub struct Armed {
    #[cfg(debug_assertions)]
    _scenario: fail::FailScenario<'static>,
}

/// Reads the variable `FAILPOINTS`.
///
/// # Panics
/// If it cannot be understood.
pub fn arm() -> Armed {
    Armed {
        #[cfg(debug_assertions)]
        _scenario: fail::FailScenario::setup(),
    }
}

/// Whether the failpoint of this name says `return` now.
#[inline]
pub fn is_set(name: &str) -> bool {
    #[cfg(debug_assertions)]
    return fail::eval(name, |_| ()).is_some();
    #[cfg(not(debug_assertions))]
    return {
        let _ = name;
        false
    };
}

/// Ends the process at once, as SIGKILL would, if the failpoint of this name says so.
#[inline]
pub fn die_at(name: &str) {
    if is_set(name) {
        std::process::abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failpoint_counts_and_then_fires_in_a_debug_build_only() {
        let _armed = arm();
        assert!(!is_set("nothing-is-known-of-it"));
        fail::cfg("third-time", "2*off->return").unwrap();
        let fired: Vec<bool> = (0..4).map(|_| is_set("third-time")).collect();
        let expected = if cfg!(debug_assertions) { [false, false, true, true] } else { [false; 4] };
        assert_eq!(fired, expected);
    }
}

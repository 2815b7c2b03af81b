//! Points at which tests make a process die, or wait, or break a promise on purpose, to see whether the checkers notice.
//!
//! A process obeys the variable `FAILPOINTS` (`name=action;…`, in the words of the crate `fail`), for example
//! `die-after-commit=50*off->return`: pass fifty times, then die. That is so in builds with debug assertions only: a
//! release has no failpoints, and none of their names.

use std::time::Duration;

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

/// How long to wait here: as many milliseconds as the failpoint of this name says, for example `slow=return(200)`.
///
/// # Panics
/// If it says anything else.
#[inline]
pub fn latency(name: &str) -> Option<Duration> {
    #[cfg(debug_assertions)]
    return fail::eval(name, |said| {
        let millis = said.and_then(|said| said.parse().ok());
        Duration::from_millis(
            millis.unwrap_or_else(|| panic!("the failpoint {name} must say return(milliseconds)")),
        )
    });
    #[cfg(not(debug_assertions))]
    return {
        let _ = name;
        None
    };
}

/// Whether the failpoint of this name says `return(value)` now, for example `die-on-record=return(poison)`.
#[inline]
pub fn says(name: &str, value: &str) -> bool {
    #[cfg(debug_assertions)]
    return fail::eval(name, |said| said.as_deref() == Some(value)).unwrap_or(false);
    #[cfg(not(debug_assertions))]
    return {
        let _ = (name, value);
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

    #[test]
    fn a_failpoint_names_one_value_in_a_debug_build_only() {
        let _armed = arm();
        assert!(!says("nothing-is-known-of-this", "a"));
        fail::cfg("only-a", "return(a)").unwrap();
        assert_eq!(["a", "b"].map(|value| says("only-a", value)), [cfg!(debug_assertions), false]);
    }

    #[test]
    fn a_latency_is_in_milliseconds_and_there_is_none_in_a_release() {
        let _armed = arm();
        assert_eq!(latency("nothing-is-known-of-it-either"), None);
        fail::cfg("slow", "return(200)").unwrap();
        assert_eq!(latency("slow"), cfg!(debug_assertions).then_some(Duration::from_millis(200)));
    }
}

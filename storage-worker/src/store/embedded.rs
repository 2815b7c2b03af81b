//! One directory of this machine, on fjall.

//! Time as an argument.

/// What the clocks of the shell say at the moment of an input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Monotonic clock, milliseconds since an arbitrary start; never goes back.
    pub mono_ms: u64,
    /// Wall clock, milliseconds since 1970-01-01 UTC; may jump.
    pub wall_ms: i64,
}

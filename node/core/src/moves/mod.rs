//! What Länder do with services once they are published: each writes its own moves to its own
//! log, and the state is the fold of all of them, whatever the order of arrival.
//!
//! Every machine here is a pure function from a set of entries to a state. Moves that no rule
//! allows, and those that lost against another, change nothing and are kept as superseded:
//! receivers never refuse what an owner has signed.

pub mod guard;
pub mod joint;
pub mod lifecycle;
pub mod nachnutzung;
pub mod uebergabe;

//! registry-journal

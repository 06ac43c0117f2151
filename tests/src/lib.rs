//! registry-tests

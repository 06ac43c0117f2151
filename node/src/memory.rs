//! How the process takes its memory.

use std::io;

/// Has the memory of this process come in small pages. Much of it is held for milliseconds only:
/// messages and blocks of a journal come, go on and are given back. The kernel clears a page before
/// it hands it out: 2 MiB for the sake of some kilobytes were 15 of 100 samples of a profile of a
/// node that catches up.
///
/// # Errors
///
/// The operating system refuses; the node is slower then and takes more memory.
pub fn small_pages() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::thread::disable_transparent_huge_pages(true)?;
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn pages_are_small_afterwards() {
        super::small_pages().unwrap();
        assert!(rustix::thread::transparent_huge_pages_are_disabled().unwrap());
    }
}

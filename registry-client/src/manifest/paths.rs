//! Paths of artefacts as manifests write them: relative, with `/`, and never out of the directory.

use std::path::PathBuf;

/// Characters of a path.
const PATH_CHARS_MAX: usize = 1_024;

/// A path does not lead to a file of the directory.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Nothing, or far too much.
    #[error("a path has 1 to {PATH_CHARS_MAX} characters")]
    Length,
    /// It begins at the root of a file system or of a drive.
    #[error("the path is not relative")]
    Absolute,
    /// Characters that separate folders elsewhere, or steer a terminal.
    #[error("the path has a backslash, a colon or a control character")]
    Character,
    /// It leads out of the directory.
    #[error("the path leads out of the directory")]
    Outside,
}

/// The path from the directory to a file that a manifest names; `folder` are the folders from the
/// directory to the manifest. Whether a folder on the way is a link only the file system knows.
///
/// # Errors
///
/// [`PathError`].
pub fn inside(folder: &[String], text: &str) -> Result<PathBuf, PathError> {
    if text.is_empty() || text.chars().count() > PATH_CHARS_MAX {
        return Err(PathError::Length);
    }
    if text.starts_with('/') {
        return Err(PathError::Absolute);
    }
    if text.contains(|c: char| matches!(c, '\\' | ':') || c.is_control()) {
        return Err(PathError::Character);
    }
    let mut parts: Vec<&str> = folder.iter().map(String::as_str).collect();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop().ok_or(PathError::Outside)?;
            }
            part => parts.push(part),
        }
    }
    // a directory is no file
    let named = text.rsplit('/').next().is_some_and(|last| !matches!(last, "" | "." | ".."));
    if named { Ok(parts.into_iter().collect()) } else { Err(PathError::Length) }
}

/// A name for the file of an artefact: its own if it is one on every system and not `taken` yet,
/// else its digest.
pub fn file_name(name: &str, sha256: &[u8], taken: &mut Vec<String>) -> String {
    let bad = |c: char| matches!(c, '/' | '\\' | ':' | '<' | '>' | '"' | '|' | '?' | '*');
    let sound = !name.is_empty()
        && name.len() <= 200
        && !name.starts_with('.')
        && !name.ends_with(['.', ' '])
        && !name.contains(|c: char| bad(c) || c.is_control());
    // some systems do not tell "A.pdf" from "a.pdf"
    let folded = name.to_lowercase();
    if sound && !taken.contains(&folded) {
        taken.push(folded);
        return name.to_owned();
    }
    hex::encode(sha256)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(folder: &[&str], text: &str, expect: Result<&str, PathError>) {
        let folder: Vec<String> = folder.iter().map(|it| (*it).to_owned()).collect();
        assert_eq!(inside(&folder, text), expect.map(PathBuf::from), "{text:?}");
    }

    #[test]
    fn paths_stay_in_the_directory() {
        check(&[], "antrag.pdf", Ok("antrag.pdf"));
        check(&["waffen"], "./1.0.0/antrag.pdf", Ok("waffen/1.0.0/antrag.pdf"));
        check(&["waffen"], "../gemeinsam/a.pdf", Ok("gemeinsam/a.pdf"));
        check(&["waffen"], "../../a.pdf", Err(PathError::Outside));
        check(&[], "../a.pdf", Err(PathError::Outside));
        check(&[], "a/../../waffen/a.pdf", Err(PathError::Outside));
        check(&[], "/etc/passwd", Err(PathError::Absolute));
        for bad in ["c:\\a.pdf", "a\\b", "a\nb", "c:a"] {
            check(&[], bad, Err(PathError::Character));
        }
        for bad in ["", ".", "a/", "a/..", &"x".repeat(PATH_CHARS_MAX + 1)] {
            check(&[], bad, Err(PathError::Length));
        }
    }

    #[test]
    fn names_of_others_become_names_of_files() {
        let mut taken = Vec::new();
        let mut check = |name: &str, expect: &str| {
            assert_eq!(file_name(name, &[0xab, 0xcd], &mut taken), expect, "{name:?}");
        };
        check("Antrag 1.pdf", "Antrag 1.pdf");
        check("antrag 1.PDF", "abcd");
        for bad in ["", "../x", "a/b", "a\\b", ".git", "a:b", "a\nb", "a.", &"x".repeat(201)] {
            check(bad, "abcd");
        }
    }
}

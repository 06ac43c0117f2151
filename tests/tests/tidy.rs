//! The habits of this code that a compiler does not know.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A file above this is to be cut; tests may be longer, they are data.
const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 75;
const LINE_CHARS_MAX: usize = 110;

#[test]
fn files_and_functions_stay_readable() {
    let mut problems = Vec::new();
    for path in sources() {
        let text = fs::read_to_string(&path).expect("source");
        let name = path.display();
        let is_test = path.components().any(|it| it.as_os_str() == "tests")
            || path.file_name().is_some_and(|it| it == "tests.rs");
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        let lines = code.lines().count();
        if !is_test && lines > FILE_LINES_MAX {
            problems.push(format!("{name}: {lines} lines"));
        }
        // expected texts in tests are data and stay as they are
        let shown = if is_test { "" } else { code };
        for (at, line) in shown.lines().enumerate() {
            if line.chars().count() > LINE_CHARS_MAX {
                problems.push(format!("{name}:{}: {} characters", at + 1, line.chars().count()));
            }
        }
        for (start, length) in functions(code) {
            if !is_test && length > FUNCTION_LINES_MAX {
                problems.push(format!("{name}:{start}: function of {length} lines"));
            }
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn nothing_is_left_undone_and_nothing_is_shared_between_nodes() {
    let mut problems = Vec::new();
    for path in sources() {
        let text = fs::read_to_string(&path).expect("source");
        let shell = path.components().any(|it| it.as_os_str() == "node");
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (at, line) in text.lines().enumerate() {
            let place = || format!("{}:{}: {}", path.display(), at + 1, line.trim());
            let words = ["TODO", "FIXME", "XXX", "todo!(", "unimplemented!("];
            if !path.ends_with("tidy.rs") && words.iter().any(|it| line.contains(it)) {
                problems.push(place());
            }
            // shipped data may be parsed once for all; state may not be shared
            let shared = ["static mut", "thread_local!", "OnceCell<", "lazy_static"];
            let tested = at >= code.lines().count();
            if shell && !tested && shared.iter().any(|it| line.contains(it)) {
                problems.push(place());
            }
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn the_core_does_no_io() {
    let root = root();
    let manifest = fs::read_to_string(root.join("node/core/Cargo.toml")).expect("manifest");
    for dependency in ["tokio", "tonic", "sled", "rustls", "rand", "getrandom"] {
        let named = manifest.lines().any(|it| it.starts_with(dependency));
        assert!(!named, "registry-core depends on {dependency}");
    }
    for path in sources().into_iter().filter(|it| it.starts_with(root.join("node/core/src"))) {
        let text = fs::read_to_string(&path).expect("source");
        for word in ["std::fs", "std::net", "SystemTime", "Instant::now", "std::thread"] {
            assert!(!text.contains(word), "{} uses {word}", path.display());
        }
    }
}

/// Whoever reads the audit log finds each act of the node in the manual.
#[test]
fn every_act_is_in_the_manual() {
    let root = root();
    let text = fs::read_to_string(root.join("deploy/handbuch/protokoll.md")).expect("the manual");
    let mut acts = 0;
    for path in sources().into_iter().filter(|it| it.starts_with(root.join("node/src"))) {
        let source = fs::read_to_string(&path).expect("source");
        let code = source.split("#[cfg(test)]").next().unwrap_or_default();
        let begun = code.split("Act::new(\"").skip(1);
        for act in begun.filter_map(|it| it.split('"').next()).filter(|it| it.contains('.')) {
            let is_test = path.file_name().is_some_and(|it| it == "tests.rs");
            assert!(is_test || text.contains(&format!("`{act}`")), "{act} is not in protokoll.md");
            acts += 1;
        }
    }
    assert!(acts > 10, "found {acts} acts");
}

/// Every test that SECURITY.md names is there, and every threat names one or says that it is open.
#[test]
fn what_security_md_promises_is_tested() {
    let root = root();
    let text = fs::read_to_string(root.join("SECURITY.md")).expect("SECURITY.md");
    let mut problems = Vec::new();
    let mut named = 0;
    for (at, line) in text.lines().enumerate() {
        let tests: Vec<_> = line.split('`').filter_map(|it| it.split_once(".rs::")).collect();
        for (file, function) in &tests {
            let source = fs::read_to_string(root.join(format!("{file}.rs"))).unwrap_or_default();
            let mut lines = source.lines().map(str::trim_start);
            let here = |it: &str| {
                it.split_once("fn ").is_some_and(|it| it.1.starts_with(&format!("{function}(")))
            };
            let found = lines.position(here);
            // the attribute stands a line or two above
            let above = source.lines().take(found.unwrap_or_default()).collect::<Vec<_>>();
            let is_test = above.iter().rev().take(3).any(|it| it.contains("test"));
            if found.is_none() || !is_test {
                problems.push(format!("{}: {file}.rs has no test {function}", at + 1));
            }
        }
        named += tests.len();
        let is_threat = line.starts_with("| ") && line.matches(" | ").count() >= 3;
        let is_head = line.starts_with("| asset |");
        if is_threat && !is_head && tests.is_empty() && !line.contains("**open**") {
            problems.push(format!("{}: neither a test nor open: {line}", at + 1));
        }
    }
    assert!(named > 20, "{named} tests are named");
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

/// First line and length of each function, by the indentation rustfmt gives.
fn functions(code: &str) -> Vec<(usize, usize)> {
    let lines: Vec<_> = code.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let bare = line.trim_start();
        let indent = line.len() - bare.len();
        let starts =
            ["fn ", "pub fn ", "pub(crate) fn ", "pub(super) fn ", "async fn ", "pub async fn "];
        if !starts.iter().any(|it| bare.starts_with(it)) {
            continue;
        }
        // a signature of a trait may have no body
        let signed = lines[at..].iter().position(|it| it.ends_with('{') || it.ends_with(';'));
        if signed.is_none_or(|it| lines[at + it].ends_with(';')) {
            continue;
        }
        let closing = format!("{}}}", " ".repeat(indent));
        if let Some(length) = lines[at..].iter().position(|it| *it == closing) {
            found.push((at + 1, length + 1));
        }
    }
    found
}

fn sources() -> Vec<PathBuf> {
    let root = root();
    let mut all = Vec::new();
    for part in ["proto", "node", "registry-client", "tests"] {
        collect(&root.join(part), &mut all);
    }
    assert!(all.len() > 50, "found {} sources", all.len());
    all
}

fn collect(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("directory") {
        let path = entry.expect("entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "gen" && name != "target" {
            collect(&path, into);
        } else if name.ends_with(".rs") {
            into.push(path);
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("workspace").to_owned()
}

//! What is left of erased entries: who has confirmed, and files in which their words still stand.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use registry_proto::{terms::Land, wire::registry::LogPosition};

use crate::cluster::{Cluster, Who, eventually};

const LIMIT: Duration = Duration::from_secs(90);

/// Waits until these Länder, and no others, have confirmed the erasure of an entry.
pub async fn confirmed(
    cluster: &Cluster,
    at: Land,
    entry: &LogPosition,
    laender: &[Land],
    open: &[Land],
) {
    let names = |all: &[Land]| all.iter().map(|it| it.code().to_owned()).collect::<BTreeSet<_>>();
    let mut last = String::new();
    eventually(LIMIT, &format!("{at} knows who erased {}", place(entry)), async || {
        let Ok(client) = cluster.client(at, Who::Reader).await else { return false };
        let Ok(listed) = client.erasures(Some(entry.clone()), 0).await else { return false };
        let Some(state) = listed.erasures.first() else { return false };
        let told: BTreeSet<_> = state.confirmed.iter().map(|it| it.land.clone()).collect();
        let waiting: BTreeSet<_> = state.open.iter().cloned().collect();
        let line = format!("{at} {}: {told:?}, open {waiting:?}", state.done_here);
        if line != last {
            eprintln!("{line}");
            last = line;
        }
        state.done_here && told == names(laender) && waiting == names(open)
    })
    .await;
}

/// Files below a directory in which these letters stand, as they are or as something may have
/// written them down: in hexadecimal digits, in UTF-16, in small letters.
pub fn files_with(dir: &Path, marker: &str) -> Vec<PathBuf> {
    let digits: String = marker.bytes().map(|it| format!("{it:02x}")).collect();
    let wide: String = marker.chars().flat_map(|it| [it, '\0']).collect();
    let forms = [marker.to_owned(), marker.to_lowercase(), digits, wide];
    let holds = |path: &PathBuf| {
        // a file may go while we look
        let bytes = fs::read(path).unwrap_or_default();
        // what is no text becomes something else, the letters stay
        let text = String::from_utf8_lossy(&bytes);
        forms.iter().any(|form| text.contains(form.as_str()))
    };
    files(dir).into_iter().filter(holds).collect()
}

/// All files below a directory.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let Ok(entries) = fs::read_dir(dir) else { return all };
    for path in entries.filter_map(Result::ok).map(|it| it.path()) {
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.push(path);
        }
    }
    all
}

/// An entry as `registry` names it.
pub fn place(at: &LogPosition) -> String {
    format!("{}/{}/{}", at.land, at.epoch, at.index)
}

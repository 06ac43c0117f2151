//! Artefacts over real files and logs in memory, without a socket.

use std::sync::atomic::{AtomicI64, Ordering};

use prost::Message;
use registry_proto::{
    artefact::{CHUNK_BYTES, Digester},
    log::Kind,
    wire::registry::{PushChunkRequest, ServiceVersion},
};
use tempfile::TempDir;
use tokio_stream::StreamExt;
use transfer::What;

use super::*;
use crate::{
    config::ArtefactStore,
    index::Index,
    lifecycle::Shutdown,
    testing::{Item, MemoryJournal, folded, offer, take, uuid},
};

const DAY_S: i64 = 24 * 3_600;
const GRACE: std::time::Duration = std::time::Duration::from_secs(24 * 3_600);

struct World {
    dir: TempDir,
    artefacts: Artefacts,
    clock: Arc<AtomicI64>,
}

/// Wants nothing.
struct Nothing;

impl Wanted for Nothing {
    fn wanted(&self, _land: Land, _service: Uuid) -> bool {
        false
    }

    fn owned(&self, _land: Land, _service: Uuid) -> bool {
        false
    }
}

// === impl World ===

impl World {
    fn new(fetch: FetchPolicy) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(AtomicI64::new(wall()));
        let seen = Arc::clone(&clock);
        let artefacts = Artefacts::new(Setup {
            store: ChunkStore::open(&ArtefactStore::Directory(dir.path().to_owned())).unwrap(),
            land: Land::SL,
            fetch,
            wanted: Box::new(Nothing),
            metrics: Arc::new(Metrics::new("1.2.3")),
            clock: Box::new(move || seen.load(Ordering::Relaxed)),
        });
        Self { dir, artefacts, clock }
    }

    async fn push(&self, data: &'static [u8]) -> Result<bool, Reject> {
        let frame = PushChunkRequest {
            sha256: raw(&Hash::of(data)),
            bytes: data.len() as u32,
            data: Bytes::from_static(data),
        };
        self.send(vec![frame]).await
    }

    async fn send(&self, frames: Vec<PushChunkRequest>) -> Result<bool, Reject> {
        let frames = tokio_stream::iter(frames.into_iter().map(Ok::<_, ()>));
        self.artefacts.receive("p-1", frames).await.map(|it| it.unchanged)
    }

    fn pass(&self, seconds: i64) {
        self.clock.fetch_add(seconds, Ordering::Relaxed);
    }
}

/// The files of a test have the time of this machine.
fn wall() -> i64 {
    crate::driver::Clock::start().wall_ms() / 1_000
}

fn raw(hash: &Hash) -> Bytes {
    Bytes::copy_from_slice(hash.as_bytes())
}

fn descriptor(data: &[u8]) -> Artefakt {
    let mut digester = Digester::default();
    digester.update(data);
    let layout = digester.finish();
    Artefakt {
        name: "datei".to_owned(),
        bytes: layout.bytes(),
        sha256: raw(&layout.sha256()),
        chunks: layout.chunks().map(|(chunk, _)| raw(&chunk)).collect(),
        ..Artefakt::default()
    }
}

/// A version that names files.
fn naming(service: u8, files: &[&[u8]]) -> Item {
    let version = ServiceVersion {
        service_id: uuid(service).to_string(),
        version: "1.0.0".to_owned(),
        artefakte: files.iter().map(|data| descriptor(data)).collect(),
        ..ServiceVersion::default()
    };
    Item::Body(Kind::ServiceVersion, service, version.encode_to_vec().into())
}

fn over(journals: &[MemoryJournal]) -> (Index, crate::folder::Folder) {
    folded(journals)
}

#[tokio::test]
async fn only_what_no_version_names_and_nobody_used_for_the_grace_period_goes() {
    let world = World::new(FetchPolicy::None);
    let journal = MemoryJournal::of(Land::RP);
    journal.append(&[naming(1, &[b"named"])]);
    let (index, _folder) = over(std::slice::from_ref(&journal));
    for data in [&b"named"[..], b"orphan", b"asked for"] {
        assert_eq!(world.push(data).await, Ok(false));
    }
    let collect = async |dry| world.artefacts.collect(&index, GRACE, dry).await.unwrap();
    let young = gc::Collected { chunks: 3, unreferenced: 2, kept: 2, removed: 0, removed_bytes: 0 };
    assert_eq!(collect(false).await, young);

    world.pass(DAY_S + 60);
    assert!(world.artefacts.missing(&[descriptor(b"asked for")]).await.unwrap().is_empty());
    let old = gc::Collected { kept: 1, removed: 1, removed_bytes: 6, ..young };
    assert_eq!(collect(true).await, old);
    assert_eq!(collect(true).await, old);
    assert_eq!(collect(false).await, old);
    assert_eq!(
        collect(false).await,
        gc::Collected { chunks: 2, unreferenced: 1, kept: 1, ..Default::default() }
    );
    let missing = world.artefacts.missing(&[descriptor(b"named"), descriptor(b"orphan")]).await;
    assert_eq!(
        missing.unwrap().iter().map(|it| (it.at, it.reason)).collect::<Vec<_>>(),
        [(1, "ARTEFACT_MISSING")]
    );
}

#[tokio::test]
async fn nothing_goes_while_a_journal_cannot_be_read_to_its_end() {
    let world = World::new(FetchPolicy::None);
    let journal = MemoryJournal::of(Land::RP);
    journal.append(&[naming(1, &[b"other"]), naming(2, &[b"orphan"])]);
    let (index, _folder) = over(std::slice::from_ref(&journal));
    world.push(b"orphan").await.unwrap();
    world.pass(2 * DAY_S);
    journal.damage(1);
    let refused = world.artefacts.collect(&index, GRACE, false).await.unwrap_err();
    assert!(matches!(refused, Reject::Unavailable { reason: "ARTEFACT_MARK", .. }), "{refused}");
    journal.repair();
    assert_eq!(world.artefacts.collect(&index, GRACE, false).await.unwrap().unreferenced, 0);
}

#[tokio::test]
async fn nothing_goes_while_a_version_is_not_the_one_that_was_signed() {
    let journal = MemoryJournal::of(Land::RP);
    journal.append(&[naming(1, &[b"named"]), naming(2, &[])]);
    let names_nothing = journal.entries()[1].body.clone().unwrap().1;
    let (index, _folder) = over(std::slice::from_ref(&journal));
    let world = World::new(FetchPolicy::None);
    world.push(b"named").await.unwrap();
    assert!(world.artefacts.catch_up(&index).await);
    world.pass(2 * DAY_S);
    journal.forge(0, names_nothing);
    let refused = world.artefacts.forget_erased(&index, false).await.unwrap_err();
    assert!(matches!(refused, Reject::Unavailable { reason: "ARTEFACT_MARK", .. }), "{refused}");
    // after a start nothing is known of before
    let after = World::new(FetchPolicy::None);
    after.push(b"named").await.unwrap();
    after.pass(2 * DAY_S);
    let refused = after.artefacts.collect(&index, GRACE, false).await.unwrap_err();
    assert!(matches!(refused, Reject::Unavailable { reason: "ARTEFACT_MARK", .. }), "{refused}");
}

#[tokio::test]
async fn frames_that_are_not_the_chunk_they_announce_are_refused_by_their_field() {
    let world = World::new(FetchPolicy::None);
    let frame = |digest: &[u8], bytes: u32, data: &'static [u8]| PushChunkRequest {
        sha256: Bytes::copy_from_slice(digest),
        bytes,
        data: Bytes::from_static(data),
    };
    let digest = Hash::of(b"chunk");
    let digest = digest.as_bytes();
    for (frames, field, reason) in [
        (vec![frame(b"short", 5, b"chunk")], "sha256", "DIGEST_FORM"),
        (vec![frame(digest, 0, b"")], "bytes", "CHUNK_BYTES"),
        (vec![frame(digest, CHUNK_BYTES + 1, b"")], "bytes", "CHUNK_BYTES"),
        (vec![frame(digest, 5, b"chu"), frame(b"", 0, b"nks")], "data", "CHUNK_BYTES"),
        (vec![frame(digest, 5, b"chalk")], "sha256", "CHUNK_DIGEST"),
        (vec![frame(digest, 5, &[0; (1 << 20) + 1])], "data", "FRAME_BYTES"),
    ] {
        match world.send(frames).await {
            Err(Reject::Invalid(all)) => {
                assert_eq!((all[0].field.as_str(), all[0].reason), (field, reason));
            }
            other => panic!("{reason}: {other:?}"),
        }
    }
    for broken in [vec![], vec![frame(digest, 5, b"chu")]] {
        let refused = world.send(broken).await.unwrap_err();
        assert!(
            matches!(refused, Reject::Unavailable { reason: "UPLOAD_BROKEN", .. }),
            "{refused}"
        );
    }
    let whole = vec![frame(digest, 5, b"ch"), frame(b"", 0, b""), frame(b"", 0, b"unk")];
    assert_eq!(world.send(whole.clone()).await, Ok(false));
    assert_eq!(world.send(whole).await, Ok(true));
}

#[tokio::test]
async fn an_artefact_is_sent_from_any_offset_and_a_damaged_chunk_never() {
    let world = World::new(FetchPolicy::None);
    let journal = MemoryJournal::of(Land::RP);
    journal.append(&[naming(1, &[b"content"])]);
    let (index, _folder) = over(std::slice::from_ref(&journal));
    let shutdown = Shutdown::new();
    let (artefact, chunk) =
        (What::Artefact(Hash::of(b"content")), What::Chunk(Hash::of(b"content")));
    let send = async |what, offset| {
        let frames = world.artefacts.send("r-1", "client", what, offset, &shutdown).await?;
        let frames: Result<Vec<Bytes>, Reject> = frames.collect().await;
        frames.map(|it| it.concat())
    };
    let unknown = send(artefact, 0).await.unwrap_err();
    assert!(matches!(unknown, Reject::NotFound { what: "artefact", .. }), "{unknown}");
    assert!(world.artefacts.catch_up(&index).await);
    let elsewhere = send(artefact, 0).await.unwrap_err();
    let told = elsewhere.to_string();
    assert!(told.contains("nodes of RP"), "{told}");

    world.push(b"content").await.unwrap();
    assert_eq!(send(artefact, 0).await.unwrap(), b"content");
    assert_eq!(send(chunk, 4).await.unwrap(), b"ent");
    assert_eq!(send(artefact, 7).await.unwrap(), b"");
    assert!(matches!(send(artefact, 8).await, Err(Reject::Invalid(_))));
    assert!(matches!(send(chunk, 8).await, Err(Reject::Invalid(_))));

    let name = Hash::of(b"content").to_string();
    let path = world.dir.path().join("chunks").join(&name[..2]).join(&name);
    std::fs::write(&path, b"c0ntent").unwrap();
    let damaged = send(chunk, 0).await.unwrap_err();
    assert!(
        matches!(damaged, Reject::Unavailable { reason: "ARTEFACT_NOT_HERE", .. }),
        "{damaged}"
    );
    assert!(!path.exists());
    assert_eq!(world.artefacts.missing(&[descriptor(b"content")]).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_wanted_follows_the_policy_and_the_own_land_comes_always() {
    let own = MemoryJournal::of(Land::SL);
    own.append(&[naming(1, &[b"own"])]);
    let other = MemoryJournal::of(Land::RP);
    other.append(&[naming(2, &[b"theirs", b"more of theirs"])]);
    let (index, _folder) = over(&[own, other]);
    for (policy, waiting) in
        [(FetchPolicy::None, 1), (FetchPolicy::Subscribed, 1), (FetchPolicy::All, 3)]
    {
        let world = World::new(policy);
        assert!(world.artefacts.catch_up(&index).await);
        world.artefacts.plan();
        assert_eq!(world.artefacts.inner.queue.len(), waiting, "{policy:?}");
        world.push(b"own").await.unwrap();
        world.artefacts.plan();
        assert_eq!(world.artefacts.inner.queue.len(), waiting - 1, "{policy:?}");
    }
}

#[tokio::test]
async fn a_certificate_sends_only_so_much_at_once() {
    let world = World::new(FetchPolicy::None);
    let mut open = Vec::new();
    for _ in 0..limits::UPLOADS_PER_IDENTITY_MAX {
        open.push(world.artefacts.inner.uploads.take("p-1").unwrap());
    }
    let refused = world.push(b"one more").await.unwrap_err();
    assert!(
        matches!(refused, Reject::Busy { limit: "uploads of one certificate", .. }),
        "{refused}"
    );
    open.pop();
    assert_eq!(world.push(b"one more").await, Ok(false));
}

#[test]
fn what_a_land_took_over_is_its_own() {
    let [from, to] = [Land::SL, Land::HE].map(MemoryJournal::of);
    from.append(&[Item::Define(1, "Hundesteuer"), Item::Release(1, "1.0.0")]);
    from.append(&[offer(1, Land::SL, Land::HE)]);
    let owned = |journals: &[MemoryJournal]| {
        let (index, _folder) = folded(journals);
        let of = |own| Subscribed { index: index.clone(), own }.owned(Land::SL, uuid(1));
        (of(Land::SL), of(Land::HE), of(Land::TH))
    };
    assert_eq!(owned(&[from.clone(), to.clone()]), (true, false, false));
    to.append(&[take(1, &from.leaves()[2])]);
    assert_eq!(owned(&[from, to]), (false, true, false));
}

//! The own log between submission and disk: groups of staged entries, one commit under way.

use std::sync::Arc;

use bytes::Bytes;
use registry_proto::{
    log::{Checkpoint, Frontier, Hash, Header, HeaderError, Kind, Origin, RequestId, leaf_hash},
    terms::{LogId, ServiceId},
    wire::registry::Audience,
};

use crate::{
    authorize::{self, Action},
    fence::Ordered,
    fold::Position,
    limits,
    log::{
        Ticket,
        gather::{Gather, Rest},
        services::{Entry, Mark, OwnServices, Verdict},
        waiting::{Published, PublishedRecord, Waiting},
    },
    now::Now,
    quota::{Allowance, Exceeded},
    reject::Reject,
    submission::{Prepared, Submission},
};

/// A group to sign, write and sync as one.
///
/// The shell MUST hash and sign nothing but this checkpoint, and not any more when the order is
/// void, MUST write entries and signed checkpoint in one write, and MUST answer with
/// `Input::Committed` only after they are durable.
#[derive(Debug)]
pub struct Commit {
    /// Entries in the order of their index.
    pub entries: Vec<CommitEntry>,
    /// Tree after the last of them, unsigned.
    pub checkpoint: Checkpoint,
    /// Time to sign, milliseconds since 1970-01-01 UTC: the wall clock, but never before an entry
    /// or a signature of this log, unless those are further ahead of it than a head may be.
    pub wall_ms: i64,
    /// Whether it still counts.
    pub ordered: Ordered,
}

/// An entry of a [`Commit`].
#[derive(Debug)]
pub struct CommitEntry {
    /// Encoded header: the leaf.
    pub header: Bytes,
    /// Salt of the body.
    pub salt: [u8; 16],
    /// Body.
    pub body: Bytes,
}

/// What the node itself says about its log, and would not say again.
#[derive(Clone, Debug)]
pub(crate) struct Note {
    pub(crate) kind: Kind,
    pub(crate) body: Bytes,
}

/// What is owed if a group is taken back.
#[derive(Debug, Default)]
struct Owed {
    notes: Vec<Note>,
    /// Spent of the quota.
    entries: u64,
    bytes: u64,
}

/// The own log.
#[derive(Debug)]
pub(crate) struct OwnLog {
    origin: Origin,
    /// Tree over everything staged, also what is not durable yet.
    frontier: Frontier,
    /// Tree over what is durable or under way to the disk: a signature may stand behind it.
    sealed: Frontier,
    /// Recorded time of the last sealed entry.
    sealed_recorded_ms: i64,
    /// Both as they were before the group under way.
    before: (Frontier, i64),
    /// Of the group that is staged, and of the one under way.
    owed: [Owed; 2],
    /// Notes that were taken back, in their order.
    unsaid: Vec<Note>,
    durable: u64,
    services: OwnServices,
    last_recorded_ms: i64,
    pending: Vec<CommitEntry>,
    pending_bytes: usize,
    committing: bool,
    gather: Gather,
    /// What the charter lets this Land add.
    allowance: Allowance,
}

// === impl OwnLog ===

impl OwnLog {
    pub(crate) fn new(
        origin: Origin,
        frontier: Frontier,
        services: OwnServices,
        last_recorded_ms: i64,
        allowance: Allowance,
    ) -> Self {
        Self {
            allowance,
            origin,
            durable: frontier.size(),
            sealed: frontier.clone(),
            sealed_recorded_ms: last_recorded_ms,
            before: (frontier.clone(), last_recorded_ms),
            owed: Default::default(),
            unsaid: Vec::new(),
            frontier,
            services,
            last_recorded_ms,
            pending: Vec::new(),
            pending_bytes: 0,
            committing: false,
            gather: Gather::default(),
        }
    }

    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Tree over everything staged.
    pub(crate) fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// Entries that are durable.
    pub(crate) fn durable(&self) -> u64 {
        self.durable
    }

    /// Entries that are staged, durable or not.
    pub(crate) fn staged(&self) -> u64 {
        self.frontier.size()
    }

    /// True when nothing is staged that is not durable.
    pub(crate) fn is_settled(&self) -> bool {
        !self.committing && self.pending.is_empty()
    }

    /// The checkpoint over what is durable; only meaningful when settled.
    pub(crate) fn settled_checkpoint(&self) -> Option<Checkpoint> {
        (self.is_settled() && self.durable > 0).then(|| self.checkpoint())
    }

    /// Judges and stages a submission. What it answers waits for durability; `waiting` others wait
    /// for their answers already.
    ///
    /// # Errors
    ///
    /// As [`OwnServices::judge`] and [`Submission::judge`]; [`Reject::Busy`] when too many bytes
    /// wait. Nothing is staged then.
    pub(crate) fn submit(
        &mut self,
        ticket: Ticket,
        submission: Submission,
        waiting: usize,
        now: Now,
    ) -> Result<Outcome, Reject> {
        if self.pending_bytes.saturating_add(submission.bytes())
            > limits::SUBMISSION_BYTES_WAITING_MAX
        {
            return Err(Reject::Busy {
                limit: "bytes of submissions waiting",
                max: limits::SUBMISSION_BYTES_WAITING_MAX as u64,
            });
        }
        if let Some(request) = submission.request
            && let Some(entries) = self.services.request(request)
        {
            let published = self.repeated(&submission, entries)?;
            return Ok(self.waits(ticket, published, submission.ack_peers, now));
        }
        if let Some(refused) = submission.refused {
            return Err(refused);
        }
        // keys of editors are renewed and lost: who operates the node may put that right
        let operates = authorize::always(&submission.rules, Action::Operate);
        let editor = (!operates).then_some(submission.pseudonym.as_str());
        let verdicts = self.services.judge(&submission.records, editor)?;
        self.require_quota(&submission, &verdicts, now)?;
        if submission.dry_run {
            return Ok(Outcome::Answered(self.dry_answer(submission, &verdicts)));
        }
        let new = verdicts.iter().filter(|it| **it == Verdict::New).count();
        let pseudonym: Arc<str> = submission.pseudonym.into();
        let mut records = Vec::with_capacity(verdicts.len());
        let mut staged = 0;
        for (record, verdict) in submission.records.into_iter().zip(verdicts) {
            let answer = match verdict {
                Verdict::New => {
                    staged += 1;
                    let batch_end = staged == new;
                    self.stage(record, batch_end, &pseudonym, submission.request, now)?
                }
                Verdict::Unchanged(mark) => self.answer(&record, Some(mark), true),
                Verdict::Inherited(log, mark) => self.inherited(&record, log, mark),
                Verdict::Repeated => {
                    let mark = self.services.mark(record.service, record.version);
                    self.answer(&record, mark, true)
                }
            };
            records.push(answer);
        }
        if staged > 0 {
            self.gather.staged(waiting, now);
        }
        let published = Published { records, acknowledged_by: Vec::new() };
        Ok(self.waits(ticket, published, submission.ack_peers, now))
    }

    /// Whether what is new in a submission may be added today. What is erased always may.
    fn require_quota(
        &self,
        submission: &Submission,
        verdicts: &[Verdict],
        now: Now,
    ) -> Result<(), Reject> {
        let new = submission.records.iter().zip(verdicts);
        let new = new.filter(|(it, verdict)| **verdict == Verdict::New && it.kind != Kind::Erasure);
        let (mut entries, mut bytes) = (0, 0);
        for (record, _) in new {
            entries += 1;
            bytes += record.body.len() as u64;
        }
        if entries == 0 {
            return Ok(());
        }
        let fits = self.allowance.require(entries, bytes, now);
        fits.map_err(|Exceeded { limit, max, retry_ms }| Reject::OverQuota { limit, max, retry_ms })
    }

    fn waits(&self, ticket: Ticket, published: Published, ack_peers: u32, now: Now) -> Outcome {
        let own = published.records.iter().filter(|it| it.log == self.origin.log);
        let last = own.filter_map(|it| it.index).max();
        Outcome::Waits(Waiting {
            ticket,
            size: last.map_or(0, |last| last + 1),
            ack_peers,
            deadline_mono_ms: now.mono_ms + limits::ACK_WAIT_MS_MAX,
            published,
        })
    }

    /// What became of a request that was published before.
    fn repeated(
        &self,
        submission: &Submission,
        entries: &[(ServiceId, Mark)],
    ) -> Result<Published, Reject> {
        let mut records = Vec::with_capacity(submission.records.len());
        let mut found = 0;
        for record in &submission.records {
            let entry = entries
                .iter()
                .find(|(object, mark)| *object == record.service && mark.content == record.content);
            // what was unchanged then has no entry of the request, but stands
            let standing = self.services.mark(record.service, record.version);
            let inherited = record.inherited.as_ref().and_then(|it| it.stands);
            if let (None, Some((at, mark))) = (entry, inherited)
                && mark.content == record.content
            {
                records.push(self.inherited(record, at.log, mark));
                continue;
            }
            let mark = match (entry, standing) {
                (Some((_, mark)), _) => {
                    found += 1;
                    *mark
                }
                (None, Some(mark)) if mark.content == record.content => mark,
                _ => return Err(other_request()),
            };
            records.push(self.answer(record, Some(mark), entry.is_none()));
        }
        if found < entries.len() {
            return Err(other_request());
        }
        Ok(Published { records, acknowledged_by: Vec::new() })
    }

    /// Stages an entry about the log itself, which the node would not say again.
    pub(crate) fn stage_note(
        &mut self,
        note: Note,
        salt: [u8; 16],
        now: Now,
    ) -> Result<(), HeaderError> {
        self.stage_word(note.kind, note.body.clone(), salt, now)?;
        self.owed[0].notes.push(note);
        Ok(())
    }

    /// Notes that are not durable, and how many of them are in the group under way or behind it.
    pub(crate) fn notes(&self) -> (usize, usize) {
        let staged = self.owed.iter().map(|it| it.notes.len()).sum::<usize>();
        (staged + self.unsaid.len(), staged)
    }

    /// Notes that were taken back; whoever takes them MUST stage them before anything else.
    pub(crate) fn take_unsaid(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.unsaid)
    }

    /// Stages an entry of the node itself and gives its index; when it is taken back, the node
    /// says it again later.
    pub(crate) fn stage_word(
        &mut self,
        kind: Kind,
        body: Bytes,
        salt: [u8; 16],
        now: Now,
    ) -> Result<u64, HeaderError> {
        let digest = registry_proto::log::body_digest(&salt, &body);
        let header = self.header(kind, None, true, "node", &body, digest, now);
        self.gather.hurry();
        self.push(&header, salt, body, now).map(|_| header.index)
    }

    /// Stages what an operator says about the next charter. If it is not signed it never was, as
    /// with everything that somebody publishes.
    pub(crate) fn stage_vote(
        &mut self,
        principal: &str,
        body: Bytes,
        salt: [u8; 16],
        now: Now,
    ) -> Result<(), HeaderError> {
        let digest = registry_proto::log::body_digest(&salt, &body);
        let header = self.header(Kind::CharterVote, None, true, principal, &body, digest, now);
        self.gather.hurry();
        self.push(&header, salt, body, now).map(|_| ())
    }

    /// Takes what is staged as the next group, if none is under way and it waits for nobody.
    /// `signed_ms` is the time of the newest signature.
    pub(crate) fn take_commit(
        &mut self,
        signed_ms: i64,
        ordered: Ordered,
        now: Now,
    ) -> Option<Commit> {
        if self.committing || self.pending.is_empty() || self.gather.waits(now) {
            return None;
        }
        self.gather.taken();
        self.committing = true;
        self.pending_bytes = 0;
        let sealed = std::mem::replace(&mut self.sealed, self.frontier.clone());
        self.before = (sealed, self.sealed_recorded_ms);
        self.sealed_recorded_ms = self.last_recorded_ms;
        self.owed = [Owed::default(), std::mem::take(&mut self.owed[0])];
        self.services.seal();
        // what a clock that ran ahead left behind gives way to the right one, here as at partners
        let before =
            [self.last_recorded_ms, signed_ms].into_iter().filter(|it| *it <= now.furthest_ms());
        Some(Commit {
            entries: std::mem::take(&mut self.pending),
            checkpoint: self.checkpoint(),
            wall_ms: before.fold(now.wall_ms, i64::max),
            ordered,
        })
    }

    /// How long submissions may be left alone: while a group gathers, or another is under way and
    /// many publishers come.
    pub(crate) fn rest(&self) -> Option<Rest> {
        if self.committing {
            let submissions = self.gather.more();
            return self.gather.is_crowd().then_some(Rest { submissions, until_mono_ms: None });
        }
        let until = self.gather.until()?;
        Some(Rest { submissions: self.gather.wants(), until_mono_ms: Some(until) })
    }

    /// Takes back what is staged and not under way to the disk, and says how much is left. What the
    /// node itself said in it is kept.
    pub(crate) fn discard(&mut self) -> u64 {
        self.frontier = self.sealed.clone();
        self.pending.clear();
        self.pending_bytes = 0;
        let Owed { mut notes, entries, bytes } = std::mem::take(&mut self.owed[0]);
        self.allowance.refund(entries, bytes);
        // which is said again as soon as nothing stands in an epoch
        notes.retain(|it| it.kind != Kind::EpochReset);
        notes.append(&mut self.unsaid);
        self.unsaid = notes;
        self.services.take_back();
        self.gather.discarded();
        self.frontier.size()
    }

    /// The group under way was not signed: takes it back, with what is staged behind it. False, and
    /// nothing is taken back, if there is none.
    pub(crate) fn unsigned(&mut self) -> bool {
        if !self.committing {
            return false;
        }
        self.committing = false;
        let [staged, mut under_way] = std::mem::take(&mut self.owed);
        under_way.notes.extend(staged.notes);
        under_way.entries += staged.entries;
        under_way.bytes += staged.bytes;
        self.owed[0] = under_way;
        (self.sealed, self.sealed_recorded_ms) = self.before.clone();
        self.services.unseal();
        self.discard();
        true
    }

    /// Recorded time of the last entry that is durable or under way to the disk.
    pub(crate) fn sealed_recorded_ms(&self) -> i64 {
        self.sealed_recorded_ms
    }

    /// The group under way is durable.
    pub(crate) fn committed(&mut self, size: u64) {
        self.committing = false;
        self.owed[1] = Owed::default();
        self.durable = size;
    }

    /// Entries of this log that came back from a partner are durable.
    pub(crate) fn recovered(&mut self, frontier: Frontier, last_recorded_ms: i64) {
        self.durable = frontier.size();
        self.sealed = frontier.clone();
        self.sealed_recorded_ms = last_recorded_ms;
        self.frontier = frontier;
        self.last_recorded_ms = self.last_recorded_ms.max(last_recorded_ms);
    }

    pub(super) fn services(&self) -> &OwnServices {
        &self.services
    }

    /// What came back from a partner, for the rules of later publications.
    pub(crate) fn services_mut(&mut self) -> &mut OwnServices {
        &mut self.services
    }

    fn checkpoint(&self) -> Checkpoint {
        Checkpoint { origin: self.origin, size: self.frontier.size(), root: self.frontier.root() }
    }

    fn stage(
        &mut self,
        record: Prepared,
        batch_end: bool,
        pseudonym: &str,
        request: Option<RequestId>,
        now: Now,
    ) -> Result<PublishedRecord, Reject> {
        let mut header = self.header(
            record.kind,
            Some(record.service),
            batch_end,
            pseudonym,
            &record.body,
            record.body_digest,
            now,
        );
        header.references.clone_from(&record.references);
        header.request = request;
        let index = header.index;
        let leaf = self
            .push(&header, record.salt, record.body.clone(), now)
            .map_err(|_| Reject::Storage { operation: "encoding the header" })?;
        let number = Position { log: self.origin.log, index }.number();
        let mark = Mark { content: record.content, number, leaf };
        self.services.stage(Entry {
            kind: record.kind,
            object: record.service,
            version: record.version,
            editors: record.editors.clone(),
            request,
            erases: record.erases,
            mark,
        });
        Ok(self.answer(&record, Some(mark), false))
    }

    #[expect(clippy::too_many_arguments, reason = "one place that fills a header")]
    pub(super) fn header(
        &mut self,
        kind: Kind,
        service: Option<ServiceId>,
        batch_end: bool,
        pseudonym: &str,
        body: &Bytes,
        body_digest: Hash,
        now: Now,
    ) -> Header {
        self.last_recorded_ms = self.last_recorded_ms.max(now.wall_ms);
        Header {
            verbund: self.origin.verbund,
            log: self.origin.log,
            index: self.frontier.size(),
            kind,
            recorded_unix_ms: self.last_recorded_ms,
            object_id: service.map(ServiceId::uuid),
            audience: Audience::Verbund as i32,
            batch_end,
            references: Vec::new(),
            principal: pseudonym.to_owned(),
            body_length: u32::try_from(body.len()).unwrap_or(u32::MAX),
            body_digest,
            request: None,
        }
    }

    pub(super) fn push(
        &mut self,
        header: &Header,
        salt: [u8; 16],
        body: Bytes,
        now: Now,
    ) -> Result<Hash, HeaderError> {
        let raw = header.encode()?;
        let leaf = leaf_hash(&raw);
        self.frontier.push(leaf);
        let bytes = raw.len() + body.len();
        self.allowance.spend(1, bytes as u64, now);
        self.owed[0].entries += 1;
        self.owed[0].bytes += bytes as u64;
        self.pending_bytes += bytes;
        self.pending.push(CommitEntry { header: raw, salt, body });
        Ok(leaf)
    }

    fn dry_answer(&self, submission: Submission, verdicts: &[Verdict]) -> Published {
        let records = submission
            .records
            .into_iter()
            .zip(verdicts)
            .map(|(record, verdict)| match verdict {
                Verdict::Unchanged(mark) => self.answer(&record, Some(*mark), true),
                Verdict::Inherited(log, mark) => self.inherited(&record, *log, *mark),
                Verdict::New => self.answer(&record, None, false),
                Verdict::Repeated => self.answer(&record, None, true),
            })
            .collect();
        Published { records, acknowledged_by: Vec::new() }
    }

    /// What a former owner published already.
    fn inherited(&self, record: &Prepared, log: LogId, mark: Mark) -> PublishedRecord {
        PublishedRecord { log, ..self.answer(record, Some(mark), true) }
    }

    fn answer(&self, record: &Prepared, mark: Option<Mark>, unchanged: bool) -> PublishedRecord {
        let at = mark.map(|it| Position::of_number(self.origin.log.land, it.number));
        PublishedRecord {
            service: record.of_service,
            subscription: record.subscription,
            version: record.version,
            log: at.map_or(self.origin.log, |it| it.log),
            index: at.map(|it| it.index),
            leaf: mark.map(|it| it.leaf),
            unchanged,
            revision: self.services.revision(record.service),
            verdict: record.verdict.clone(),
            warnings: record.warnings.clone(),
        }
    }
}

/// What became of a submission that was not refused.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Nothing to wait for.
    Answered(Published),
    /// Waits for durability, fold and partners.
    Waits(Waiting),
}

fn other_request() -> Reject {
    Reject::Conflict {
        what: "a request",
        name: "with this idempotency_key".to_owned(),
        hint: "repeat the same request, or choose another key for another one".to_owned(),
    }
}

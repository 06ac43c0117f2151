//! Every limit of a node, units last, related by const assertions. A limit reached is an outcome
//! with a name; each has a test.

/// Bytes of an encoded header. Also the most a leaf can have.
pub const HEADER_BYTES_MAX: usize = 65_535;
/// Bytes of a body.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// Bytes of the findings that are kept with a record.
pub const HINWEISE_BYTES_MAX: usize = 64 << 10;
/// Bytes of an encoded record that is published; its findings follow in the body.
pub const RECORD_BYTES_MAX: usize = BODY_BYTES_MAX - HINWEISE_BYTES_MAX;
/// Bytes of a draft, encoded.
pub const DRAFT_BYTES_MAX: usize = 1 << 20;
/// Records of a draft.
pub const DRAFT_RECORDS_MAX: usize = 100;
/// Drafts at a node.
pub const DRAFTS_MAX: usize = 1_000;
/// Submissions at a node that wait for a second person.
pub const APPROVALS_MAX: usize = 1_000;
/// Such submissions of one person.
pub const APPROVALS_PER_PERSON_MAX: usize = 200;
/// Bytes of all such submissions.
pub const APPROVALS_BYTES_MAX: usize = 256 << 20;
/// After this time they are not there any more, milliseconds: 14 days.
pub const APPROVAL_MS_MAX: i64 = 14 * 86_400_000;
/// Bytes of entries in one frame between peers; one larger entry travels alone.
pub const BATCH_BYTES_MAX: usize = 1 << 20;
/// Entries in one frame between peers, and in one atomic batch.
pub const BATCH_ENTRIES_MAX: usize = 10_000;
/// Bytes of one gRPC message, both directions.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// Records in one publish request.
pub const PUBLISH_RECORDS_MAX: usize = 1_000;
/// Entries on a page.
pub const PAGE_MAX: u32 = 500;
/// Entries on a page when the caller names no size.
pub const PAGE_DEFAULT: u32 = 100;
/// Hits of a search when the caller names no limit.
pub const SEARCH_DEFAULT: u32 = 20;
/// Hits of a search that can be paged through.
pub const SEARCH_DEPTH_MAX: u32 = 10_000;
/// Values in a filter of a search.
pub const SEARCH_FILTER_VALUES_MAX: usize = 50;
/// Erasures that the search index has not followed yet, of which it is known what they are about;
/// beyond, a search is refused until it has.
pub const UNSEARCHED_MAX: usize = 1_000;
/// Values of a facet in the answer of a search.
pub const FACET_VALUES_MAX: usize = 100;
/// Suggestions in an answer.
pub const SUGGESTIONS_MAX: u32 = 10;
/// Offers in an answer about a Leistung in a Gebiet.
pub const OFFERS_MAX: u32 = 100;
/// Such offers when the caller names no limit.
pub const OFFERS_DEFAULT: u32 = 20;
/// Submissions that wait between authorisation and answer.
pub const SUBMISSIONS_WAITING_MAX: usize = 4_096;
/// Characters of an idempotency key.
pub const IDEMPOTENCY_KEY_CHARS_MAX: usize = 64;
/// Bytes of submissions that wait to be staged.
pub const SUBMISSION_BYTES_WAITING_MAX: usize = 64 << 20;
/// Publishers waiting at once from which on a group waits for half of as many, so that those who
/// come back together share a signature and a sync.
pub const GATHER_FROM: usize = 4;
/// How long a group waits for them, milliseconds.
pub const GATHER_MS_MAX: u64 = 3;
/// Partners a publisher may wait for.
pub const ACK_PEERS_MAX: u32 = 16;
/// How long a publisher waits for partners, milliseconds.
pub const ACK_WAIT_MS_MAX: u64 = 30_000;
/// Days of its quota that a log may bring at once before it is taken slower.
pub const QUOTA_DAYS_RECEIVED: u32 = 2;
/// Erasures that are taken of a log in a day beside its quota; what goes beyond counts like all else.
pub const ERASURES_BESIDE_QUOTA: u64 = 100_000;
/// Bytes of all of them.
pub const ERASURES_BESIDE_QUOTA_BYTES: u64 = 256 << 20;
/// Bytes of one of them: the longest reason and a header of the usual size.
pub const ERASURE_BESIDE_QUOTA_BYTES: usize = 8 << 10;
/// Members of a charter.
pub const MEMBERS_MAX: usize = 64;
/// Epochs of the log of a member.
pub const EPOCHS_MAX: usize = registry_proto::epoch::EPOCHS_MAX;
/// Resets of one epoch that are remembered because partners told them, though they do not count here.
pub const RESETS_TOLD_MAX: usize = 4;
/// Votes about charters in the log of one member; later ones count nowhere.
pub const CHARTER_VOTES_MAX: usize = 4_096;
/// Bytes of all successors that one member votes for; later votes count nowhere.
pub const CHARTER_VOTE_BYTES_MAX: usize = 16 << 20;
/// Charters in one answer to a partner that asks for later ones.
pub const CHARTERS_ANSWER_MAX: usize = 8;
/// Bytes of them, with what proves them.
pub const CHARTERS_ANSWER_BYTES_MAX: usize = 3 << 20;
/// A partner that runs under a later charter is asked for it this long after its stream began,
/// milliseconds: the votes in the logs had time to come by themselves.
pub const CHARTERS_WAIT_MS: u64 = 15_000;
/// The same while entries that are known still come from somebody, milliseconds.
pub const CHARTERS_WAIT_MS_MAX: u64 = 600_000;
/// A partner that was asked for charters and does not answer for this long is given up,
/// milliseconds.
pub const CHARTERS_ANSWER_MS: u64 = 30_000;
/// A partner is asked for charters again after this time, milliseconds.
pub const CHARTERS_RETRY_MS: u64 = 300_000;
/// A node begins again under charters that a partner proved within this time, or something hinders
/// it, milliseconds. Until then nobody else is asked.
pub const CHARTERS_FOLLOW_MS: u64 = 120_000;
/// A partner that asks for charters again before this time on one stream breaks the protocol,
/// milliseconds.
pub const CHARTERS_SHOWN_EVERY_MS: u64 = CHARTERS_RETRY_MS / 2;
/// Invitations at a node, with those that were used or ended lately.
pub const INVITATIONS_MAX: usize = 64;
/// A token counts this long unless asked otherwise, milliseconds: a day.
pub const INVITATION_MS_DEFAULT: i64 = 86_400_000;
/// The longest a token counts, milliseconds: seven days.
pub const INVITATION_MS_MAX: i64 = 7 * 86_400_000;
/// A token that ended is remembered this long, so that its holder hears why it is refused,
/// milliseconds.
pub const INVITATION_KEPT_MS: i64 = 86_400_000;
/// Whoever presented itself waits this long for the votes, milliseconds: 30 days.
pub const JOIN_WAIT_MS_MAX: i64 = 30 * 86_400_000;
/// Bytes of a message at the port for joining.
pub const JOIN_MESSAGE_BYTES_MAX: usize = 64 << 10;
/// Bytes of all proofs of votes that a newcomer takes with the charters; it leaves others.
pub const JOIN_DECISIONS_BYTES_MAX: usize = registry_proto::charter::CHAIN_BYTES_MAX;
/// Connections at the port for joining.
pub const JOIN_CONNECTIONS_MAX: usize = 64;
/// TLS handshakes under way there.
pub const JOIN_HANDSHAKES_MAX: usize = 16;
/// Connections, and handshakes under way, of one address there.
pub const JOIN_PER_ADDRESS_MAX: usize = 4;
/// A connection there ends after this time, milliseconds.
pub const JOIN_CONNECTION_MS_MAX: u64 = 60_000;
/// Calls per second of one address there, in the long run.
pub const JOIN_CALLS_PER_SECOND: u32 = 2;
/// Calls of one address there that may come at once.
pub const JOIN_CALLS_BURST: u32 = 20;
/// Nodes of a member.
pub const MEMBER_NODES_MAX: usize = 16;
/// Bytes a follower lets be under way in one log.
pub const FOLLOW_CREDIT_BYTES: u64 = 8 << 20;
/// Time between beacons, milliseconds.
pub const BEACON_MS: u64 = 5_000;
/// Time between two questions for the fence, when the disk has said since what it did not know before,
/// milliseconds.
pub const FENCE_ASK_AGAIN_MS: u64 = 1_000;
/// A freshness cosignature is renewed after this idle time, milliseconds.
pub const FRESHNESS_RENEW_MS: u64 = 60_000;
/// A freshness cosignature that could not be made is tried again after this time, milliseconds.
pub const SIGN_RETRY_MS: u64 = 5_000;
/// A log without newer freshness for this long is stale, milliseconds (receiver's clock).
pub const STALE_AFTER_MS: u64 = 180_000;
/// A head that says to be signed later than this from now, by the clock here, gives way to one that
/// does not, milliseconds.
pub const HEAD_AHEAD_MS: i64 = 600_000;
/// By how much more its own newest signature must be ahead before an owner signs an earlier time,
/// milliseconds: for partners whose clocks are ahead as well it could be right, and the earlier one a
/// replay.
pub const HEAD_BACK_MS: i64 = 120_000;
/// That the clock of an owner is ahead is told again after this time, milliseconds.
pub const AHEAD_TOLD_MS: u64 = 3_600_000;
/// A source that stays behind a known head for this long is changed, milliseconds.
pub const SOURCE_STALL_MS: u64 = 5_000;
/// A source that sent what does not verify, or refused, is not asked for that log for this long,
/// milliseconds.
pub const SOURCE_AVOID_MS: u64 = 30_000;
/// Heads a peer may tell or ask for in a second, in the long run.
pub const HEADS_PER_SECOND: u64 = 500;
/// Heads a peer may tell or ask for at once.
pub const HEADS_BURST_MAX: u64 = 2_000;
/// Heads of one log that wait to be held against the tree here; the oldest gives way.
pub const SUSPECTS_MAX: usize = 64;
/// Roots of one log that are remembered, so that the disk is not asked for them again.
pub const ROOTS_KNOWN_MAX: usize = 256;
/// Time between two receipts, and two cosignatures, of this Land about one log, and between two
/// messages that pass on those of others, milliseconds.
pub const TESTIFY_EVERY_MS: u64 = 1_000;
/// Receipts or cosignatures in one message.
pub const TESTIMONIES_MAX: usize = 256;
/// Receipts and cosignatures a peer may tell in a second, in the long run.
pub const TESTIMONIES_PER_SECOND: u64 = 600;
/// Receipts and cosignatures a peer may tell at once.
pub const TESTIMONIES_BURST_MAX: u64 = 1_800;
/// A partner that is asked for a beginning of a log and does not tell it for this long is not asked
/// again, milliseconds.
pub const BEGINNING_ANSWER_MS: u64 = 10_000;
/// Searches of this node for where two histories part begin no sooner after each other, milliseconds;
/// each asks a partner by halves.
pub const BEGINNINGS_SEARCH_MS: u64 = 2_000;
/// Beginnings a peer may ask for in a second, in the long run: each is a job for the disk.
pub const BEGINNINGS_PER_SECOND: u64 = 20;
/// Beginnings a peer may ask for at once.
pub const BEGINNINGS_BURST_MAX: u64 = 100;
/// Bodies of the own past that are kept while partners are asked for others, bytes.
pub const LENT_BYTES_MAX: usize = 2 * BATCH_BYTES_MAX;
/// So long an owner waits for partners that are away before it takes a body of its past for gone, once
/// after a start, milliseconds.
pub const LENT_WAIT_MS: u64 = 20_000;
/// So long it asks those that are there for entries of one batch, milliseconds.
pub const LENT_ASK_MS: u64 = 60_000;
/// Receipts of one holder about one log that are kept; beyond, older ones are thinned out.
pub const RECEIPTS_PER_HOLDER_MAX: usize = 512;
/// A peer that says nothing for this long is disconnected, milliseconds.
pub const PEER_SILENCE_MS: u64 = 15_000;
/// A wall clock that moves against the monotonic one by more than this fences again, milliseconds.
pub const CLOCK_JUMP_MS: i64 = 10_000;
/// A process to which nothing happened for longer than this, not even a tick, stood still and fences
/// again, milliseconds. More than a busy machine makes a thread wait, and less than partners take
/// to give a node up: whoever puts a copy in its place before that had no sign that it is gone.
pub const FROZEN_MS: u64 = 10_000;
/// After the first answer a fence that needs more waits for this long, milliseconds.
pub const FENCE_GRACE_MS: u64 = 30_000;
/// Nobody else may have signed with the keys of the Land for this long before a node that was
/// copied, restored or behind signs again, milliseconds; the configuration may name more.
pub const FENCE_QUIET_MS: u64 = 70_000;
/// A partner that speaks of the own log for the first time may know signatures from before the
/// start that no other knew, until this long after the start, milliseconds.
pub const COPY_FIRST_MS: u64 = 120_000;
/// What a node has to say about its own log and has not said durably; beyond, it does not sign.
pub const NOTES_MAX: usize = 16;
/// Erasures in one group of those that a node says again because a reset discarded them.
pub const ERASURES_SAID_AGAIN: usize = 500;
/// Watches at a node.
pub const WATCHES_MAX: usize = 10_000;
/// Watches of one identity.
pub const WATCHES_PER_IDENTITY_MAX: usize = 1_000;
/// Connections on one listener.
pub const CONNECTIONS_MAX: usize = 4_096;
/// Bytes of a PEM file with certificates or a key.
pub const PEM_BYTES_MAX: u64 = 1 << 20;
/// Bytes of a file with certificate revocation lists.
pub const CRL_BYTES_MAX: u64 = 8 << 20;
/// Certificate revocation lists of a node.
pub const CRLS_MAX: usize = 128;
/// Combinations of the keys of all issuers with lists of several keys, where lists are required: each
/// is verified on its own. That many come of five issuers which all change their key.
pub const CRL_SETS_MAX: usize = 32;
/// TLS handshake, milliseconds.
pub const HANDSHAKE_MS_MAX: u64 = 10_000;
/// TLS handshakes under way on one listener.
pub const HANDSHAKES_MAX: usize = 256;
/// TLS handshakes under way from one address.
pub const HANDSHAKES_PER_ADDRESS_MAX: usize = 64;
/// Connections of one identity on one listener.
pub const CONNECTIONS_PER_IDENTITY_MAX: usize = 1_024;
/// Connections on one listener without TLS.
pub const PLAIN_CONNECTIONS_MAX: usize = 128;
/// Head of a request, milliseconds; HTTP/2: the begin of the connection.
pub const REQUEST_HEAD_MS_MAX: u64 = 10_000;
/// Message of a call that has one, milliseconds.
pub const REQUEST_MS_MAX: u64 = 30_000;
/// Bytes of such messages of one identity that are not here completely.
pub const REQUEST_BYTES_UNDER_WAY_MAX: usize = 32 << 20;
/// Time in which a whole answer must be taken, milliseconds.
pub const ANSWER_MS_MAX: u64 = 60_000;
/// A connection that does not take what is written ends, milliseconds.
pub const WRITE_STALL_MS_MAX: u64 = 30_000;
/// Calls per second of one identity, in the long run and at once, unless configured.
pub const CALLS_PER_SECOND_DEFAULT: u32 = 50_000;
/// The most that can be configured.
pub const CALLS_PER_SECOND_MAX: u32 = 1_000_000;
/// Calls under way, and streams open, of one identity, unless configured.
pub const CALLS_AT_ONCE_DEFAULT: u32 = 1_024;
/// The most that can be configured.
pub const CALLS_AT_ONCE_MAX: u32 = 65_536;
/// Identities whose calls are counted at a time.
pub const METERED_IDENTITIES_MAX: usize = 65_536;
/// HTTP/2 streams of one connection.
pub const STREAMS_PER_CONNECTION_MAX: u32 = 1_024;
/// HTTP/2 streams a client may reset before they are accepted; more ends the connection.
pub const STREAM_RESETS_MAX: usize = 64;
/// HTTP/2 streams of a connection that may break the protocol; more ends the connection.
pub const STREAM_ERRORS_MAX: usize = 128;
/// Bytes of the headers of a request.
pub const HEADER_LIST_BYTES_MAX: u32 = 16 << 10;
/// Bytes that are buffered of an HTTP/1.1 connection; a head is at most as long.
pub const HTTP1_BUFFER_BYTES_MAX: usize = 64 << 10;
/// Values in a filter of a watch or list.
pub const FILTER_VALUES_MAX: usize = 1_000;
/// Characters of a search query.
pub const QUERY_CHARS_MAX: usize = 500;
/// Findings listed about one record; errors and warnings each.
pub const VIOLATIONS_MAX: usize = 100;
/// Entries of a list in a record.
pub const RECORD_LIST_MAX: usize = 200;
/// Leistungsschlüssel, legal bases and parameters of a record; an OZG-Leistung bundles up to 317
/// keys.
pub const RECORD_LONG_LIST_MAX: usize = 1_000;
/// Characters of a name in a record.
pub const NAME_CHARS_MAX: usize = 255;
/// Characters of a short description in a record.
pub const NOTE_CHARS_MAX: usize = 5_000;
/// Characters of a long text in a record.
pub const TEXT_CHARS_MAX: usize = 50_000;
/// Co-owners of a service.
pub const CO_OWNERS_MAX: usize = 16;
/// Files of a version.
pub const ARTEFACTS_MAX: usize = 64;
/// Bytes of a file.
pub const ARTEFACT_BYTES_MAX: u64 = 2 << 30;
/// Bytes of a chunk of a file; the last one may be shorter.
pub const ARTEFACT_CHUNK_BYTES: u64 = 8 << 20;
/// Bytes of the JSON Schema of the parameters.
pub const PARAMETER_SCHEMA_BYTES_MAX: usize = 65_536;

/// The head of the audit log goes into the log of the Land this long after the one before, if
/// there are new lines, milliseconds.
pub const AUDIT_ANCHOR_MS: u64 = 600_000;
/// The same after an administrative act, milliseconds.
pub const AUDIT_ANCHOR_SOON_MS: u64 = 60_000;
/// Lines of the audit log after which its head goes into the log of the Land at once.
pub const AUDIT_ANCHOR_LINES: u64 = 10_000;
/// Lines of the audit log that wait to be written; beyond, acts are refused.
pub const AUDIT_LINES_WAITING_MAX: usize = 16_384;
/// Bytes of a file of the audit log; then the next one begins.
pub const AUDIT_SEGMENT_BYTES: u64 = 16 << 20;
/// Bytes of a line of the audit log.
pub const AUDIT_LINE_BYTES_MAX: usize = 16 << 10;
/// Lines of the audit log that are not synced yet, for this long, milliseconds.
pub const AUDIT_SYNC_MS: u64 = 5_000;
/// Refusals are counted together for this long, milliseconds.
pub const AUDIT_REFUSALS_MS: u64 = 300_000;
/// Refusals of one kind and origin that get a line of their own in that time; the others of all
/// origins are counted together.
pub const AUDIT_REFUSALS_MAX: usize = 16;

const _: () = assert!(BATCH_BYTES_MAX >= BODY_BYTES_MAX);
const _: () = assert!(AUDIT_ANCHOR_SOON_MS < AUDIT_ANCHOR_MS);
const _: () = assert!(AUDIT_LINES_WAITING_MAX >= 2 * SUBMISSIONS_WAITING_MAX);
const _: () = assert!(AUDIT_SEGMENT_BYTES >= 64 * (AUDIT_LINE_BYTES_MAX as u64));
const _: () = assert!(GATHER_MS_MAX < ACK_WAIT_MS_MAX);
const _: () = assert!(GATHER_FROM < SUBMISSIONS_WAITING_MAX);
const _: () = assert!(SEARCH_DEPTH_MAX >= PAGE_MAX);
const _: () = assert!(MESSAGE_BYTES_MAX >= BATCH_BYTES_MAX + HEADER_BYTES_MAX + (64 << 10));
const _: () = assert!(MESSAGE_BYTES_MAX >= BODY_BYTES_MAX + HEADER_BYTES_MAX + (64 << 10));
const _: () = assert!(FOLLOW_CREDIT_BYTES >= 2 * (MESSAGE_BYTES_MAX as u64));
const _: () = assert!(PEER_SILENCE_MS >= 2 * BEACON_MS);
const _: () = assert!(TESTIMONIES_PER_SECOND * TESTIFY_EVERY_MS >= 2_000 * TESTIMONIES_MAX as u64);
const _: () = assert!(TESTIMONIES_BURST_MAX >= 3 * TESTIMONIES_PER_SECOND);
const _: () =
    assert!(MESSAGE_BYTES_MAX >= TESTIMONIES_MAX * (registry_proto::log::COSIGNED_BYTES_MAX + 64));
const _: () =
    assert!(MESSAGE_BYTES_MAX >= MEMBERS_MAX * (registry_proto::evidence::EVIDENCE_BYTES_MAX + 16));
const _: () = assert!(HEADS_PER_SECOND >= 5 * (MEMBERS_MAX as u64));
const _: () = assert!(HEADS_BURST_MAX > (MEMBERS_MAX * EPOCHS_MAX) as u64);
const _: () =
    assert!(MESSAGE_BYTES_MAX >= EPOCHS_MAX * (registry_proto::epoch::RESET_BYTES_MAX + 16));
const _: () = assert!(HEADS_BURST_MAX >= 4 * HEADS_PER_SECOND);
const _: () = assert!(PEER_SILENCE_MS >= 2 * SOURCE_STALL_MS);
const _: () = assert!(LENT_WAIT_MS >= 2 * SOURCE_STALL_MS && LENT_ASK_MS > LENT_WAIT_MS);
// a search halves what may be 2^39 entries
const _: () = assert!(BEGINNINGS_PER_SECOND * BEGINNINGS_SEARCH_MS >= 40 * 1_000);
const _: () = assert!(BEGINNINGS_BURST_MAX >= 2 * 40);
const _: () = assert!(SOURCE_AVOID_MS >= PEER_SILENCE_MS);
const _: () = assert!(FROZEN_MS < PEER_SILENCE_MS);
const _: () = assert!(STALE_AFTER_MS >= 2 * FRESHNESS_RENEW_MS);
const _: () = assert!(SIGN_RETRY_MS < FRESHNESS_RENEW_MS);
const _: () = assert!(FENCE_QUIET_MS >= FRESHNESS_RENEW_MS + 2 * BEACON_MS);
const _: () = assert!(FENCE_GRACE_MS >= 2 * PEER_SILENCE_MS);
const _: () = assert!(COPY_FIRST_MS >= 2 * FRESHNESS_RENEW_MS);
const _: () = assert!(BATCH_ENTRIES_MAX >= PUBLISH_RECORDS_MAX);
const _: () = assert!(RECORD_LONG_LIST_MAX >= RECORD_LIST_MAX);
const _: () = assert!(RECORD_BYTES_MAX >= 4 * (4 * TEXT_CHARS_MAX) + (64 << 10));
const _: () = assert!(APPROVALS_BYTES_MAX >= 16 * MESSAGE_BYTES_MAX);
const _: () = assert!(APPROVALS_PER_PERSON_MAX <= APPROVALS_MAX / 2);
const _: () = assert!(MESSAGE_BYTES_MAX >= 2 * DRAFT_BYTES_MAX);
const _: () = assert!(DRAFT_RECORDS_MAX <= PUBLISH_RECORDS_MAX);
const _: () = assert!(ARTEFACT_BYTES_MAX.is_multiple_of(ARTEFACT_CHUNK_BYTES));
const _: () = assert!(CO_OWNERS_MAX < MEMBERS_MAX);
const _: () = assert!(RECORD_BYTES_MAX > registry_proto::charter::SUCCESSOR_BYTES_MAX + (64 << 10));
const _: () = assert!(CHARTER_VOTE_BYTES_MAX >= 16 * registry_proto::charter::SUCCESSOR_BYTES_MAX);
const _: () = assert!(MESSAGE_BYTES_MAX >= CHARTERS_ANSWER_BYTES_MAX + (64 << 10));
const _: () = assert!(
    CHARTERS_ANSWER_BYTES_MAX
        >= registry_proto::charter::SUCCESSOR_BYTES_MAX
            + registry_proto::charter::DECISION_BYTES_MAX
);
const _: () = assert!(CHARTERS_WAIT_MS >= 2 * BEACON_MS);
const _: () = assert!(CHARTERS_SHOWN_EVERY_MS > 2 * CHARTERS_ANSWER_MS);
const _: () = assert!(CHARTERS_FOLLOW_MS < CHARTERS_RETRY_MS);
const _: () = assert!(MEMBERS_MAX == registry_proto::charter::MEMBERS_MAX);
const _: () = assert!(HANDSHAKES_PER_ADDRESS_MAX <= HANDSHAKES_MAX / 4);
const _: () = assert!(CONNECTIONS_PER_IDENTITY_MAX <= CONNECTIONS_MAX / 4);
const _: () = assert!(REQUEST_BYTES_UNDER_WAY_MAX >= 4 * MESSAGE_BYTES_MAX);
const _: () = assert!(CALLS_AT_ONCE_DEFAULT as usize >= WATCHES_PER_IDENTITY_MAX);
const _: () = assert!(CALLS_PER_SECOND_DEFAULT <= CALLS_PER_SECOND_MAX);
const _: () = assert!(METERED_IDENTITIES_MAX >= 4 * CONNECTIONS_MAX);
const _: () = assert!(HTTP1_BUFFER_BYTES_MAX >= HEADER_LIST_BYTES_MAX as usize);
const _: () = assert!(JOIN_MESSAGE_BYTES_MAX >= registry_proto::join::CARD_BYTES_MAX + (4 << 10));
const _: () =
    assert!(MESSAGE_BYTES_MAX >= INVITATIONS_MAX * (registry_proto::join::CARD_BYTES_MAX + 1_024));
const _: () = assert!(JOIN_PER_ADDRESS_MAX <= JOIN_HANDSHAKES_MAX / 4);
const _: () = assert!(INVITATION_MS_DEFAULT <= INVITATION_MS_MAX);
const _: () = assert!(JOIN_CONNECTION_MS_MAX >= 2 * REQUEST_MS_MAX);

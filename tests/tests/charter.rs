//! Charters in force while nodes run: four members of real processes vote, a fifth Land comes.

use std::{fs, path::PathBuf, process::Output, time::Duration};

use prost::Message as _;
use registry_proto::{
    charter::Charter,
    terms::Land::{self, BY, HE, RP, SL, TH},
    wire::registry as wire,
};
use registry_tests::{
    cluster::{Cluster, Who, binary, eventually, keep_links},
    records::{definition, request, service_id},
};

const FOUNDERS: [Land; 4] = [HE, RP, SL, TH];
const ALL: [Land; 5] = [BY, HE, RP, SL, TH];
const LIMIT: Duration = Duration::from_secs(60);

//     HE - RP        the founders; BY dials SL and RP once it is a member
//      | X |
//     SL - TH
#[tokio::test(flavor = "multi_thread")]
async fn a_fifth_land_is_voted_in_and_publishes_while_the_others_run() {
    let mut verbund = Verbund::prepare();
    FOUNDERS.iter().for_each(|land| verbund.cluster.run(*land));
    verbund.cluster.wait_open(&FOUNDERS).await;
    let pids = FOUNDERS.map(|land| verbund.cluster.pid(land));

    // a proposal is a vote; whoever is not asked to may not vote
    let next = verbund.amend("1", &["--admit", &verbund.card(BY)]);
    let denied = verbund.registry(SL, Who::Reader, &["charter", "propose", &next]);
    assert!(!denied.status.success());
    let told = verbund.operator(SL, &["charter", "propose", &next]);
    assert!(told.contains("BY wird aufgenommen") && told.contains("SL/1/"), "{told}");
    let digest = verbund.digest(&next);
    verbund.sees(RP, &["BY wird aufgenommen", "SL (Runde 1)", "fehlt: HE, RP, TH"]).await;
    verbund.operator(RP, &["charter", "vote", &digest[..12]]);
    let again = verbund.registry(RP, Who::Operator(RP), &["charter", "vote", &digest]);
    assert!(text(&again).contains("equivocation"), "{}", text(&again));
    verbund.sees(HE, &["SL (Runde 1)", "RP (Runde 1)"]).await;
    verbund.operator(HE, &["charter", "vote", &digest]);

    // three of four: everybody follows, in the same process, also who did not vote
    verbund.follow(&FOUNDERS, 1).await;
    assert_eq!(pids, FOUNDERS.map(|land| verbund.cluster.pid(land)));
    verbund.cluster.wait_open(&FOUNDERS).await;
    let late = verbund.registry(TH, Who::Operator(TH), &["charter", "propose", &next]);
    assert!(text(&late).contains("folgt nicht"), "{}", text(&late));

    // the newcomer is given the chain, and its log goes round
    verbund.admit(BY);
    verbund.cluster.run(BY);
    verbund.cluster.wait_open(&[BY]).await;
    let service = service_id(1);
    let records = request(vec![definition(&service, "Aus Bayern")], vec![]);
    verbund.cluster.publish(BY, records).await.expect("published");
    eventually(LIMIT, "TH shows what BY published", async || {
        let listed = verbund.registry(TH, Who::Reader, &["service", "list", "--land", "BY"]);
        text(&listed).contains("Aus Bayern")
    })
    .await;

    // it votes like the others, four of five now; what everybody must follow is computed anew
    let next = verbund.amend("2", &["--threshold", "5"]);
    verbund.operator(BY, &["charter", "propose", &next]);
    let digest = verbund.digest(&next);
    for land in [SL, RP, TH] {
        verbund.sees(land, &[&digest, "BY (Runde 1)"]).await;
        verbund.operator(land, &["charter", "vote", &digest]);
    }
    verbund.follow(&ALL, 2).await;
    verbund.cluster.kill(SL);
    verbund.cluster.run(SL);
    verbund.follow(&[SL], 2).await;
    let history = verbund.operator(SL, &["charter", "history"]);
    assert!(history.contains("Schwelle 5 statt 4"), "{history}");
}

//     HE - RP        a proposal that a running node could not follow
//      | X |
//     SL - TH
#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_cannot_follow_it_does_not_vote_for() {
    let mut verbund = Verbund::prepare();
    FOUNDERS.iter().for_each(|land| verbund.cluster.run(*land));
    verbund.cluster.wait_open(&FOUNDERS).await;
    let genesis = fs::read(verbund.genesis()).expect("charter");
    let genesis = Charter::parse(genesis.into()).expect("valid");
    let mut next = genesis.draft_of_next();
    let last = next.members.last_mut().expect("a member");
    last.set_state(wire::MemberState::Suspended);
    last.cut = Some(wire::LogCut { epoch: 1, size: 0, root: vec![0; 32].into() });
    let path = verbund.path("suspended");
    fs::write(&path, next.encode_to_vec()).expect("written");
    let refused = verbund.registry(SL, Who::Operator(SL), &["charter", "propose", &path]);
    assert!(text(&refused).contains("CHANGE_NOT_SUPPORTED"), "{}", text(&refused));
    let status = verbund.operator(SL, &["charter", "status"]);
    assert!(status.contains("liegt nichts vor"), "{status}");
}

/// Five Länder with keys and certificates, four of them in the genesis charter.
struct Verbund {
    cluster: Cluster,
    members: Vec<wire::Member>,
}

impl Verbund {
    fn prepare() -> Self {
        let links: Vec<_> = ALL.iter().flat_map(|a| ALL.map(|b| (*a, b))).collect();
        let cluster = Cluster::prepare(&ALL, &links);
        let path = cluster.prepared().charter();
        let raw = fs::read(&path).expect("charter");
        let mut charter = wire::Charter::decode(&raw[..]).expect("charter");
        let members = charter.members.clone();
        charter.members.retain(|it| it.land != BY.code());
        charter.threshold = 3;
        fs::write(&path, charter.encode_to_vec()).expect("charter");
        let among: Vec<_> = links
            .into_iter()
            .filter(|(a, b)| FOUNDERS.contains(a) && FOUNDERS.contains(b))
            .collect();
        for land in FOUNDERS {
            keep_links(&cluster.prepared().config(land), land, &among);
        }
        Self { cluster, members }
    }

    fn genesis(&self) -> PathBuf {
        self.cluster.prepared().charter()
    }

    fn path(&self, name: &str) -> String {
        self.cluster.dir().join(format!("{name}.binpb")).display().to_string()
    }

    /// The card of a Land, as `registry-node init` writes it.
    fn card(&self, land: Land) -> String {
        let member = self.members.iter().find(|it| it.land == land.code()).expect("prepared");
        let anchor = self.cluster.prepared().pki.anchor(land);
        let card = serde_json::json!({
            "land": member.land,
            "log_key": hex::encode(&member.log_key),
            "freshness_key": hex::encode(&member.freshness_key),
            "offline_key": hex::encode(&member.offline_key),
            "nodes": [{ "name": member.nodes[0].name, "spki_pins": [] }],
            "anchors": [fs::read_to_string(anchor).expect("anchor")],
        });
        let path = self.cluster.dir().join("member.json");
        fs::write(&path, card.to_string()).expect("card");
        path.display().to_string()
    }

    /// Drafts the charter that follows the newest one; its file.
    fn amend(&self, name: &str, args: &[&str]) -> String {
        let (chain, out) = (self.path(&format!("chain-{name}")), self.path(name));
        self.operator(SL, &["charter", "export", &chain]);
        let mut command = std::process::Command::new(binary("registry-node"));
        command.args(["charter", "amend", "--from", &chain, "--out", &out]).args(args);
        let output = command.output().expect("registry-node runs");
        assert!(output.status.success(), "{}", text(&output));
        out
    }

    fn digest(&self, path: &str) -> String {
        registry_proto::log::Hash::of(&fs::read(path).expect("a draft")).to_string()
    }

    fn registry(&self, land: Land, who: Who, args: &[&str]) -> Output {
        self.cluster.registry(land, who, args).output().expect("registry runs")
    }

    /// What an operator is told; must succeed.
    #[track_caller]
    fn operator(&self, land: Land, args: &[&str]) -> String {
        let output = self.registry(land, Who::Operator(land), args);
        assert!(output.status.success(), "{land} {args:?}: {}", text(&output));
        text(&output)
    }

    /// Waits until the state of the vote at a node says all of this.
    async fn sees(&self, land: Land, words: &[&str]) {
        eventually(LIMIT, &format!("{land} sees {words:?}"), async || {
            let status = self.registry(land, Who::Reader, &["charter", "status"]);
            words.iter().all(|word| text(&status).contains(word))
        })
        .await;
    }

    /// Waits until nodes run under a charter and know nothing newer.
    async fn follow(&self, laender: &[Land], number: u64) {
        for land in laender {
            let what = format!("{land} follows charter {number}\n{}", self.cluster.stderr(*land));
            eventually(LIMIT, &what, async || {
                let Ok(client) = self.cluster.client(*land, Who::Reader).await else {
                    return false;
                };
                let told = client.charters().await;
                told.is_ok_and(|it| (it.newest, it.followed) == (number, number))
            })
            .await;
        }
    }

    /// Gives a newcomer all charters instead of the genesis charter alone.
    fn admit(&self, land: Land) {
        let chain = self.path("for-the-newcomer");
        self.operator(TH, &["charter", "export", &chain]);
        let config = self.cluster.prepared().config(land);
        let text = fs::read_to_string(&config).expect("configuration");
        let mut table: toml::Table = text.parse().expect("TOML");
        table.insert("charter".to_owned(), toml::Value::String(chain));
        fs::write(&config, table.to_string()).expect("configuration");
    }
}

fn text(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it));
    format!("{out}{err}")
}

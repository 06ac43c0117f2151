//! The committed code is what the protos generate. `UPDATE_GENERATED=1 cargo test -p
//! registry-proto --test generated` writes it anew after a change of a proto.

use std::{fs, path::Path};

#[test]
fn committed_code_matches_the_protos() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = tempfile::tempdir().expect("temporary directory");
    generate(root, out.path());
    let committed = root.join("src/gen");
    let mut names: Vec<_> = fs::read_dir(out.path())
        .expect("generated files")
        .map(|f| f.expect("entry").file_name())
        .filter(|n| n != "google.protobuf.rs")
        .collect();
    names.sort();
    assert!(names.len() >= 4, "three packages and the descriptors, got {names:?}");
    for name in names {
        let fresh = fs::read(out.path().join(&name)).expect("fresh");
        if std::env::var_os("UPDATE_GENERATED").is_some() {
            fs::write(committed.join(&name), &fresh).expect("write");
            continue;
        }
        let kept = fs::read(committed.join(&name)).unwrap_or_default();
        assert!(kept == fresh, "{name:?} is out of date; see the head of this test");
    }
}

fn generate(root: &Path, out: &Path) {
    let mut protos = Vec::new();
    collect(&root.join("verbund"), &mut protos);
    protos.sort();
    let set = protox::compile(&protos, [root]).expect("protos compile");
    tonic_prost_build::configure()
        .bytes(".")
        .client_mod_attribute(".", "#[cfg(feature = \"grpc\")]")
        .server_mod_attribute(".", "#[cfg(feature = \"grpc\")]")
        .file_descriptor_set_path(out.join("descriptors.binpb"))
        .out_dir(out)
        .compile_fds(set.clone())
        .expect("code");
    let bytes = prost::Message::encode_to_vec(&set);
    fs::write(out.join("descriptors.binpb"), bytes).expect("descriptors");
}

fn collect(dir: &Path, into: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(dir).expect("proto directory") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|e| e == "proto") {
            into.push(path);
        }
    }
}

//! Style sheets, fonts and the icon: compiled in, and served under an address that names their
//! content, so that a browser may keep them for good.
//!
//! All of them stand in one folder whose name is the hash over everything; a style sheet can name
//! a font beside it. Sources and licences stand in `NOTICE`.

use std::sync::LazyLock;

use axum::response::{IntoResponse, Response};
use http::header;
use sha2::{Digest, Sha256};

/// A file that is served as it is.
struct Asset {
    name: &'static str,
    media_type: &'static str,
    bytes: &'static [u8],
}

const CSS: &str = "text/css; charset=utf-8";
const WOFF2: &str = "font/woff2";

macro_rules! asset {
    ($path:literal as $name:literal, $media_type:expr) => {
        Asset {
            name: $name,
            media_type: $media_type,
            bytes: include_bytes!(concat!("../../../assets/", $path)),
        }
    };
}

static ASSETS: [Asset; 8] = [
    asset!("kern/kern.min.css" as "kern.min.css", CSS),
    asset!("register.css" as "register.css", CSS),
    asset!("fira-sans/FiraSans-Regular.woff2" as "FiraSans-Regular.woff2", WOFF2),
    asset!("fira-sans/FiraSans-Medium.woff2" as "FiraSans-Medium.woff2", WOFF2),
    asset!("fira-sans/FiraSans-SemiBold.woff2" as "FiraSans-SemiBold.woff2", WOFF2),
    asset!("fira-sans/FiraSans-Bold.woff2" as "FiraSans-Bold.woff2", WOFF2),
    asset!("chevron.svg" as "chevron.svg", "image/svg+xml"),
    asset!("icon.svg" as "icon.svg", "image/svg+xml"),
];

/// Names the content of all files.
static HASH: LazyLock<String> = LazyLock::new(|| {
    let mut hash = Sha256::new();
    for asset in &ASSETS {
        hash.update((asset.bytes.len() as u64).to_be_bytes());
        hash.update(asset.bytes);
    }
    hex::encode(&hash.finalize()[..8])
});

/// Address of a file.
pub(super) fn address(name: &str) -> String {
    format!("/assets/{}/{name}", *HASH)
}

/// The file at an address, if there is one.
pub(super) fn serve(hash: &str, name: &str) -> Option<Response> {
    let asset = ASSETS.iter().find(|it| it.name == name).filter(|_| hash == *HASH)?;
    let headers = [
        (header::CONTENT_TYPE, asset.media_type),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    Some((headers, asset.bytes).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn style_sheets_load_nothing_that_is_not_here() {
        let css = ASSETS.iter().filter(|it| it.media_type == CSS);
        for asset in css {
            let text = std::str::from_utf8(asset.bytes).unwrap();
            assert!(!text.contains("@import"), "{}", asset.name);
            for (at, _) in text.match_indices("url(") {
                let target = text[at + 4..].trim_start_matches(['"', '\'']);
                let target = target.split(['"', '\'', ')']).next().unwrap();
                let here = ASSETS.iter().any(|it| it.name == target);
                assert!(here || target.starts_with("data:"), "{}: {target:.80}", asset.name);
            }
        }
    }

    #[test]
    fn an_address_with_another_hash_leads_nowhere() {
        let (folder, name) = ("/assets/".len(), "icon.svg");
        let hash = &address(name)[folder..folder + 16];
        assert!(serve(hash, name).is_some());
        assert!(serve("0000000000000000", name).is_none());
        assert!(serve(hash, "../Cargo.toml").is_none());
    }
}

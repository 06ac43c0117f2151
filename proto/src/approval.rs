//! What binds a second person to what it has seen.

use sha2::{Digest, Sha256};

/// Digest of a submission that waits: SHA-256 over the domain, a zero byte and the encoded
/// `PublishRequest` as it is kept.
pub fn digest(request: &[u8]) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update(DOMAIN);
    digest.update([0]);
    digest.update(request);
    digest.finalize().into()
}

const DOMAIN: &[u8] = b"verbund-registry/approval/v1";

#[cfg(test)]
mod tests {
    #[test]
    fn the_digest_is_what_it_was() {
        let digest: String =
            super::digest(b"request").iter().map(|it| format!("{it:02x}")).collect();
        assert_eq!(digest, "3de34b4c0bc09b2d26ed587bf68751576a6dcf19866ec034d28d1386d7d32631");
    }
}

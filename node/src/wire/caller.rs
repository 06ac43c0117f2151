//! Who calls.

use std::sync::Arc;

use registry_core::authorize::Principal;
use tonic::{Request, Status};

use super::status;
use crate::tls::{self, Chain};

/// The principal of a request: what the certificate of its connection proves, or what the
/// listener put into its extensions (an `Arc<Principal>`).
///
/// # Errors
///
/// `UNAUTHENTICATED` if the transport proved nothing.
pub fn caller<T>(request: &Request<T>) -> Result<Arc<Principal>, Status> {
    let extensions = request.extensions();
    if let Some(principal) = extensions.get::<Arc<Principal>>() {
        return Ok(Arc::clone(principal));
    }
    match extensions.get::<tls::Caller>() {
        Some(caller) => Ok(Arc::clone(&caller.identity.principal)),
        None => Err(status::unauthenticated()),
    }
}

/// The certificates behind the connection of a request; none if the transport shows none.
pub(super) fn chain<T>(request: &Request<T>) -> Chain {
    request.extensions().get::<tls::Caller>().map(|it| it.chain.clone()).unwrap_or_default()
}

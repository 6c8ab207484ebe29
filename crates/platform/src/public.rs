//! What is there for whoever comes: the ways in.

use std::{net::IpAddr, sync::Arc};

use hyper::body::Incoming;
use store::Actor;

use crate::{
    access::Target,
    again, cross_site, links,
    oidc::{flow, sign_out},
    refusal::Refusal,
    reply::Reply,
    request::{self, Head, Payload},
    routes::{Op, Route},
    server::Shared,
    sign_in,
};

/// A request of somebody who need not be known.
pub(crate) struct Visit<'a> {
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) route: &'static Route,
    pub(crate) head: &'a Head,
    pub(crate) address: IpAddr,
}

impl Visit<'_> {
    /// Who acts before it is known who it is.
    pub(crate) fn nobody(&self) -> Actor {
        Actor {
            user_id: "0000000000000002".to_owned(),
            username: "anonymous".to_owned(),
            email: String::new(),
            address: self.address.to_string(),
        }
    }
}

/// Receives what came with the request, and does what it asks.
pub(crate) async fn answer(visit: &Visit<'_>, body: &mut Incoming) -> Result<Reply, Refusal> {
    // Nobody is to be signed in by a page of another site, as somebody whom that page has chosen.
    cross_site::check(&visit.shared.site, &visit.head.parts.method, &visit.head.parts.headers)?;
    visit.head.check_query(visit.route)?;
    let nothing = Target::default();
    let payload = request::take(visit.shared, visit.head, visit.route, &nothing, body).await?;
    again::visit(visit, payload).await
}

/// Does what the request asks.
pub(crate) async fn perform(visit: &Visit<'_>, payload: Payload) -> Result<Reply, Refusal> {
    match visit.route.op {
        Op::SignInOptions => sign_in::options(visit).await,
        Op::SignIn => sign_in::sign_in(visit, payload).await,
        Op::InspectLink => links::inspect(visit, payload).await,
        Op::UseLink => links::redeem(visit, payload).await,
        Op::StartOidc => flow::start(visit).await,
        Op::FinishOidc => flow::finish(visit).await,
        Op::SignedOutOidc => sign_out::signed_out(visit),
        _ => Err(Refusal::not_found(format_args!("the path `{}`", visit.route.path))),
    }
}

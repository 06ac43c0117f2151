//! Reads who re-uses what, whom a move affects, and what needs attention. Moves are published
//! with [`Client::publish_again`].

use std::time::Duration;

use registry_proto::{
    terms::Land,
    wire::registry::{
        AsOf, GetImpactRequest, GetImpactResponse, GetSubscriptionRequest, GetSubscriptionResponse,
        ListNoticesRequest, ListNoticesResponse, ListSubscriptionsRequest,
        ListSubscriptionsResponse, Notice, Subscription, SubscriptionState, WatchNoticesRequest,
        WatchNoticesResponse,
    },
};
use tokio::time::{sleep, timeout};
use tonic::Streaming;

use crate::{
    catalogue::{Paged, Pages},
    connect::Client,
    error::ClientError,
    watch::backoff,
};

/// Notices that a node tells at most.
pub const NOTICES_MAX: u32 = 500;

/// Which Nachnutzungen to list; an unset field does not restrict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubscriptionFilter {
    /// UUID of the service.
    pub service_id: Option<String>,
    /// Owner of the service.
    pub publisher: Option<Land>,
    /// Land that re-uses it.
    pub subscriber: Option<Land>,
    /// In one of these states.
    pub zustaende: Vec<SubscriptionState>,
}

/// The notices of a Land, again whenever they change, across broken connections.
#[derive(Debug)]
pub struct NoticeWatch {
    client: Client,
    land: Option<Land>,
    stream: Option<Box<Streaming<WatchNoticesResponse>>>,
    tries: u32,
    wait: Option<Duration>,
}

/// What a [`NoticeWatch`] yields.
#[derive(Debug)]
pub enum NoticeUpdate {
    /// All notices as of now.
    Notices(Vec<Notice>),
    /// The connection broke; the watch goes on by itself.
    Interrupted {
        /// Why.
        cause: ClientError,
        /// When the next try begins.
        retry_in: Duration,
    },
}

// === impl Client ===

impl Client {
    /// The Nachnutzungen that meet `filter`, page by page, at most `limit`.
    pub fn subscription_pages(
        &self,
        filter: SubscriptionFilter,
        limit: Option<u32>,
    ) -> Pages<ListSubscriptionsRequest> {
        let code = |land: Option<Land>| land.map_or_else(String::new, |it| it.to_string());
        let request = ListSubscriptionsRequest {
            page_size: 0,
            page_token: String::new(),
            service_id: filter.service_id.unwrap_or_default(),
            publisher_land: code(filter.publisher),
            subscriber_land: code(filter.subscriber),
            zustaende: filter.zustaende.into_iter().map(|it| it as i32).collect(),
        };
        Pages::new(self.clone(), request, limit)
    }

    /// One Nachnutzung with its history and its Kommunen.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn subscription(&self, id: &str) -> Result<GetSubscriptionResponse, ClientError> {
        let request = GetSubscriptionRequest { subscription_id: id.to_owned() };
        let mut service = self.nachnutzung();
        let call = service.get_subscription(self.request(request));
        self.answer("show the Nachnutzung", call).await
    }

    /// Whom a move of a version would affect.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn impact(
        &self,
        request: GetImpactRequest,
    ) -> Result<GetImpactResponse, ClientError> {
        let mut service = self.nachnutzung();
        self.answer("tell whom it affects", service.get_impact(self.request(request))).await
    }

    /// What needs the attention of a Land (of the node's own without one), the most urgent first.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn notices(
        &self,
        land: Option<Land>,
        limit: u32,
    ) -> Result<ListNoticesResponse, ClientError> {
        let land = land.map_or_else(String::new, |it| it.to_string());
        let request = self.request(ListNoticesRequest { land, limit });
        let mut service = self.nachnutzung();
        self.answer("list what needs attention", service.list_notices(request)).await
    }

    /// The same, again whenever it changes.
    pub fn watch_notices(&self, land: Option<Land>) -> NoticeWatch {
        NoticeWatch { client: self.clone(), land, stream: None, tries: 0, wait: None }
    }
}

// === impl NoticeWatch ===

impl NoticeWatch {
    /// The next state. Each one is complete, so a break loses nothing.
    ///
    /// # Errors
    ///
    /// What no new try can heal.
    pub async fn next(&mut self) -> Result<NoticeUpdate, ClientError> {
        if let Some(wait) = self.wait.take() {
            sleep(wait).await;
        }
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => match self.open().await {
                Ok(stream) => self.stream.insert(stream),
                Err(cause) => return self.interrupt(cause),
            },
        };
        match stream.message().await {
            Ok(Some(message)) => {
                self.tries = 0;
                Ok(NoticeUpdate::Notices(message.notices))
            }
            Ok(None) => {
                let detail = "the node ended the stream".to_owned();
                self.interrupt(ClientError::Broken { operation: WATCH, detail })
            }
            Err(status) => {
                let cause = self.client.error(WATCH, &status);
                self.interrupt(cause)
            }
        }
    }

    async fn open(&self) -> Result<Box<Streaming<WatchNoticesResponse>>, ClientError> {
        let land = self.land.map_or_else(String::new, |it| it.to_string());
        let mut service = self.client.nachnutzung();
        let after = self.client.timeout();
        let call = service.watch_notices(WatchNoticesRequest { land });
        match timeout(after, Box::pin(call)).await {
            Ok(Ok(response)) => Ok(Box::new(response.into_inner())),
            Ok(Err(status)) => Err(self.client.error(WATCH, &status)),
            Err(_) => Err(ClientError::TimedOut { operation: WATCH, after }),
        }
    }

    fn interrupt(&mut self, cause: ClientError) -> Result<NoticeUpdate, ClientError> {
        self.stream = None;
        if !cause.is_passing() {
            return Err(cause);
        }
        let retry_in = backoff(self.tries, rand::random());
        self.tries = self.tries.saturating_add(1);
        self.wait = Some(retry_in);
        Ok(NoticeUpdate::Interrupted { cause, retry_in })
    }
}

impl Paged for ListSubscriptionsRequest {
    type Page = ListSubscriptionsResponse;
    type Entry = Subscription;

    async fn fetch(client: &Client, request: Self) -> Result<Self::Page, ClientError> {
        let mut service = client.nachnutzung();
        let call = service.list_subscriptions(client.request(request));
        client.answer("list Nachnutzungen", call).await
    }

    fn place(&mut self, page_size: u32) {
        self.page_size = page_size;
    }

    fn token(&mut self) -> &mut String {
        &mut self.page_token
    }

    fn open(page: Self::Page) -> (Vec<Self::Entry>, String, Vec<AsOf>) {
        (page.subscriptions, page.next_page_token, page.as_of)
    }
}

const WATCH: &str = "tell what needs attention";

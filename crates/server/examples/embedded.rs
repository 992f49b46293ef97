//! A chat next to an application's own pages: a shop whose customers see in the chat what is ordered.
//!
//! `cargo run --example embedded -- /tmp/shop-chat`, then open <http://127.0.0.1:9091> and, in another window,
//! `curl -d '' http://127.0.0.1:9091/shop/orders/teapot`.

use std::net::SocketAddr;
use std::path::Path;

use mqttchat::{
    Bridge, ChatServer, Dest, DisplayName, Message, MessageId, Refusal, StartError, UserId, Verdict,
};
use serde_json::{Map, json};
use warp::http::StatusCode;
use warp::{Filter, Rejection, Reply};

/// The goods.
const GOODS: [&str; 3] = ["teapot", "cup", "tea"];

/// Who vouches for the users that the shop itself makes.
const SHOP: &str = "shop";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let data = std::env::args().nth(1).unwrap_or_else(|| "shop-chat".to_owned());
    let server = start(Path::new(&data), ([127, 0, 0, 1], 9091).into()).await?;
    tracing_subscriber::fmt().init();
    tracing::info!(url = server.url(), "the shop is open");
    server.run_until(async { drop(tokio::signal::ctrl_c().await) }).await?;
    Ok(())
}

/// The chat with the shop's pages next to it.
///
/// # Errors
/// When the address or the directory can't be used.
pub async fn start(data: &Path, address: SocketAddr) -> Result<ChatServer, StartError> {
    ChatServer::builder()
        .data(data)
        .listen(address)
        .route("no-advertising", no_advertising)
        .routes(|bridge| goods().or(order(bridge.clone())))
        .build()
        .await
}

/// Links to other shops are not welcome.
fn no_advertising(message: &Message<'_>) -> Verdict {
    match message.text() {
        Some(text) if text.contains("://") => Verdict::Stop("this shop's chat takes no links".to_owned()),
        _ => Verdict::Pass,
    }
}

/// `GET /shop/goods`: what there is.
fn goods() -> impl Filter<Extract = (impl Reply,), Error = Rejection> + Clone {
    warp::path!("shop" / "goods").and(warp::get()).map(|| warp::reply::json(&GOODS))
}

/// `POST /shop/orders/teapot`: somebody buys one, and everybody in the chat reads it.
fn order(bridge: Bridge) -> impl Filter<Extract = (impl Reply,), Error = Rejection> + Clone {
    warp::path!("shop" / "orders" / String).and(warp::post()).then(move |goods: String| {
        let bridge = bridge.clone();
        async move {
            if !GOODS.contains(&goods.as_str()) {
                return warp::reply::with_status("there is no such thing here\n", StatusCode::NOT_FOUND);
            }
            match announce(&bridge, &goods).await {
                Ok(()) => warp::reply::with_status("thank you\n", StatusCode::CREATED),
                Err(refusal) => {
                    tracing::warn!(reason = refusal.reason, "an order was not announced");
                    warp::reply::with_status("try again later\n", StatusCode::SERVICE_UNAVAILABLE)
                }
            }
        }
    })
}

/// Says in public that something was sold, as the user `shop`.
async fn announce(bridge: &Bridge, goods: &str) -> Result<(), Refusal> {
    let (Some(user), Some(name)) = (UserId::parse("shop"), DisplayName::parse("The shop")) else {
        return Ok(());
    };
    let shop = bridge.speak_for(SHOP, user, &name).await?;
    // An id of the application's own (the order's number, say) would make this safe to do again.
    let Some(id) = MessageId::parse(&uuid::Uuid::new_v4().to_string()) else { return Ok(()) };
    let data = Map::from_iter([("text".to_owned(), json!(format!("somebody has bought a {goods}")))]);
    shop.send(id, &Dest::Public, &data).await.map(|_| ())
}

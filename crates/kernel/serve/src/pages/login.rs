//! `/login` and `/logout`: a browser shows a key once, and has a cookie from then on.
//!
//! The cookie has a secret of a session, which the database has by its hash, so it holds at every server
//! of the database, and ends with the key.

use axum::Router;
use axum::extract::{RawQuery, Request, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use maud::{Markup, html};
use tally_access::{Keys, SESSION_DAYS, Scope};
use tally_runtime::chain;

use super::{Frame, Link, Page};
use crate::Peer;
use crate::api::{Parameter, Parameters, Problem, Values, read};
use crate::guard::address as address_of;

/// Where a browser logs in, and out.
pub(crate) const PATH: &str = "/login";
pub(crate) const LOGOUT: &str = "/logout";

/// The cookie.
pub(crate) const COOKIE: &str = "tally_session";
/// How long the form may be, in bytes.
const FORM_BYTES_MAX: usize = 8 << 10;
const FORM: &[&str] = &["application/x-www-form-urlencoded"];

const KEY: Parameter =
    Parameter { name: "key", about: "", values: Values::Name, is_repeated: false };
const TO: Parameter = Parameter { name: "to", about: "", values: Values::Name, is_repeated: false };
const KNOWN: &[Parameter] = &[KEY, TO];

/// The address of the form, which leads to this address afterwards.
pub(crate) fn address(to: &str) -> String {
    Link::to(PATH).with("to", to).into_text()
}

/// The secret in the cookie of a browser that is logged in.
pub(crate) fn secret(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|cookies| cookies.split(';'));
    pairs.find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

/// What a text in base64 stands for.
pub(crate) fn of_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text)).ok()
}

/// Without keys there is nothing to log in with.
pub(crate) fn router(keys: Option<Keys>) -> Router {
    Router::new().route(PATH, get(form).post(log_in)).route(LOGOUT, post(log_out)).with_state(keys)
}

async fn form(State(keys): State<Option<Keys>>, query: RawQuery, frame: Frame) -> Response {
    let parameters = Parameters::of(query.0.as_deref(), KNOWN);
    match keys {
        Some(_) => page(&frame, target(&parameters), StatusCode::OK, None),
        None => Redirect::to("/").into_response(),
    }
}

async fn log_in(State(keys): State<Option<Keys>>, frame: Frame, request: Request) -> Response {
    let Some(keys) = keys else { return Redirect::to("/").into_response() };
    let from = address_of(request.extensions());
    // Its own TLS, or that of a proxy, which the browser knows of.
    let origin = request.headers().get(header::ORIGIN);
    let is_secure = request.extensions().get::<Peer>().is_some_and(Peer::has_tls)
        || origin.is_some_and(|origin| origin.as_bytes().starts_with(b"https://"));
    let body = match read(request, FORM, FORM_BYTES_MAX).await {
        Ok(body) => body,
        Err(problem) => return problem.into_response(),
    };
    let body = String::from_utf8_lossy(&body.bytes).into_owned();
    let parameters = Parameters::of(Some(&body), KNOWN);
    let to = target(&parameters);
    let key = parameters.one(&KEY).unwrap_or_default().trim();
    let (secret, pass) = match keys.log_in(key, from).await {
        Ok(logged_in) => logged_in,
        Err(refusal) => {
            let status = StatusCode::from_u16(refusal.kind().http_status());
            let status = status.unwrap_or(StatusCode::UNAUTHORIZED);
            return page(&frame, to, status, Some(&refusal.to_string()));
        }
    };
    if !pass.caller().may(Scope::Read) {
        let words = "this key is for counting; to look, use one with the scope read or admin";
        return page(&frame, to, StatusCode::FORBIDDEN, Some(words));
    }
    let secure = if is_secure { "; Secure" } else { "" };
    let age = SESSION_DAYS * 24 * 60 * 60;
    let cookie = format!(
        "{COOKIE}={}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{secure}",
        secret.reveal()
    );
    with_cookie(Redirect::to(to), &cookie)
}

async fn log_out(State(keys): State<Option<Keys>>, headers: HeaderMap) -> Response {
    if let (Some(keys), Some(secret)) = (keys, secret(&headers))
        && let Err(error) = keys.log_out(secret).await
    {
        tracing::warn!(error = chain(&error), "could not log a browser out");
        let detail = "the database does not answer: this browser may still be logged in";
        return Problem::new(error.kind(), detail).into_response();
    }
    let gone = format!("{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict");
    with_cookie(Redirect::to(PATH), &gone)
}

fn with_cookie(to: Redirect, cookie: &str) -> Response {
    let mut response = to.into_response();
    let mut cookie = HeaderValue::from_str(cookie).expect("a secret has letters and digits");
    cookie.set_sensitive(true);
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Where to go after the login: to a page of this server only.
fn target(parameters: &Parameters) -> &str {
    let to = parameters.one(&TO).unwrap_or("/");
    let is_path = to.starts_with('/') && !to[1..].starts_with(['/', '\\']);
    let is_plain = to.bytes().all(|byte| byte.is_ascii_graphic());
    if is_path && is_plain { to } else { "/" }
}

fn page(frame: &Frame, to: &str, status: StatusCode, wrong: Option<&str>) -> Response {
    frame.page(Page { title: "Log in".into(), status, ..Page::new(body(to, wrong)) })
}

fn body(to: &str, wrong: Option<&str>) -> Markup {
    html! {
        h1 { "Log in" }
        @if let Some(wrong) = wrong { p.notice role="alert" { "Not logged in: " (wrong) "." } }
        form.card method="post" action=(PATH) {
            input type="hidden" name="to" value=(to);
            label {
                "A key with the scope read or admin"
                input type="password" name="key" required autocomplete="current-password"
                    spellcheck="false" autofocus;
            }
            p { button type="submit" { "Log in" } }
        }
        p.muted { "Make one with " code.command { "tally key create NAME --scope read" } "." }
        p.muted { "Logged in already, and here by a link from elsewhere? " a href=(to) { "Go on" } "." }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_to_pages_of_this_server_only() {
        let to = |query: &str| target(&Parameters::of(Some(query), KNOWN)).to_owned();
        assert_eq!(to("to=/requests%3Frange=7d"), "/requests?range=7d");
        for elsewhere in
            ["", "to=", "to=//evil.example", "to=/%5Cevil", "to=https://evil", "to=/%0d%0a"]
        {
            assert_eq!(to(elsewhere), "/", "{elsewhere}");
        }
    }

    #[test]
    fn the_token_is_found_among_other_cookies() {
        let of = |cookies: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, HeaderValue::from_static(cookies));
            secret(&headers).map(str::to_owned)
        };
        assert_eq!(of("a=b; tally_session=x; c=d").as_deref(), Some("x"));
        assert_eq!(of("my_tally_session=x; tally_sessions=y"), None);
    }
}

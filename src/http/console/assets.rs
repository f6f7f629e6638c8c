//! The style and the script of the pages. They tell nothing, so the login page has them too.

use super::refusal::ConsoleRefusal;
use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::Path;

const STYLE: &str = include_str!("assets/console.css");
const SCRIPT: &str = include_str!("assets/console.js");
const ICON: &str = include_str!("assets/icon.svg");

pub async fn get(name: Path<String>) -> Result<HttpResponse, ConsoleRefusal> {
    let (kind, text) = match name.as_str() {
        "console.css" => ("text/css; charset=utf-8", STYLE),
        "console.js" => ("text/javascript; charset=utf-8", SCRIPT),
        "icon.svg" => ("image/svg+xml", ICON),
        _ => return Err(ConsoleRefusal::Unknown),
    };
    Ok(HttpResponse::Ok()
        .content_type(kind)
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .body(text))
}

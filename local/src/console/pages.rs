//! The files of the page.

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;

const JS: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";

macro_rules! files {
    ($($path:literal $file:literal $content_type:expr;)*) => {
        /// The path, the content type and the content of each file.
        const FILES: &[(&str, &str, &str)] = &[$(($path, $content_type, include_str!(concat!("page/", $file)))),*];
    };
}

files! {
    "/" "index.html" "text/html; charset=utf-8";
    "/icon.svg" "icon.svg" "image/svg+xml";
    "/theme.css" "theme.css" CSS;
    "/layout.css" "layout.css" CSS;
    "/views.css" "views.css" CSS;
    "/main.js" "main.js" JS;
    "/dom.js" "dom.js" JS;
    "/server.js" "server.js" JS;
    "/stream.js" "stream.js" JS;
    "/words.js" "words.js" JS;
    "/path.js" "path.js" JS;
    "/chart.js" "chart.js" JS;
    "/record.js" "record.js" JS;
    "/records.js" "records.js" JS;
    "/send.js" "send.js" JS;
    "/break.js" "break.js" JS;
    "/story.js" "story.js" JS;
    "/trace.js" "trace.js" JS;
    "/reservations.js" "reservations.js" JS;
    "/dead-letters.js" "dead-letters.js" JS;
    "/log.js" "log.js" JS;
}

pub(super) fn routes() -> Router {
    FILES.iter().fold(Router::new(), |router, &(path, content_type, content)| {
        router.route(path, get(move || async move { ([(CONTENT_TYPE, content_type)], content) }))
    })
}

//! Swagger UI at `/docs`.

use latchkey_tests::answer::Answered;
use latchkey_tests::app::App;

#[tokio::test]
async fn swagger_ui_is_served_with_its_assets() {
    let app = App::start().await;
    let page = app.get("/docs/").answer().await;
    assert_eq!(page.status, 200, "{page:?}");
    assert!(page.header("content-type").is_some_and(|kind| kind.starts_with("text/html")));
    assert!(page.body.contains("swagger-ui"), "{}", page.body);
    let assets: Vec<_> = page.body.split('"').filter(|text| is_asset(text)).collect();
    assert!(assets.len() >= 3, "{}", page.body);
    for quoted in assets {
        assert!(!quoted.contains("//"), "loaded from another host: {quoted}");
        let file = app.get(&format!("/docs/{}", quoted.trim_start_matches("./"))).answer().await;
        assert_eq!(file.status, 200, "{quoted}");
    }
}

fn is_asset(text: &str) -> bool {
    let kind = std::path::Path::new(text).extension();
    kind.is_some_and(|kind| kind == "js" || kind == "css")
}

#[tokio::test]
async fn swagger_ui_is_served_without_the_trailing_slash() {
    let app = App::start().await;
    let page = app.get("/docs").answer().await;
    assert_eq!(page.status, 200, "{page:?}");
}

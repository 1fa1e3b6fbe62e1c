//! The plans of the statements that a server runs, from the log of PostgreSQL's `auto_explain`.

use serde_json::Value;

use crate::postgres::{Database, Postgres};
use crate::wait;

/// The last statement of a test: its plan follows all earlier ones in the log.
const LAST: &str = "SELECT 'the last plan'";

/// The plan of a statement.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The statement.
    pub query: String,
    /// Every step that reads a table.
    pub scans: Vec<Scan>,
}

/// A step that reads a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// `Seq Scan`, `Index Scan`, …
    pub method: String,
    /// The table.
    pub table: String,
    /// The rows that it returned or discarded, in all its loops.
    pub rows: u64,
}

/// Logs the plan of each statement of every future connection to the database, including statements of cascades.
pub async fn log_plans(database: &Database) {
    let sql = "DO $$ DECLARE setting text; BEGIN
                   FOREACH setting IN ARRAY ARRAY[
                       'session_preload_libraries = ''auto_explain''', 'auto_explain.log_min_duration = 0',
                       'auto_explain.log_analyze = on', 'auto_explain.log_timing = off',
                       'auto_explain.log_nested_statements = on', 'auto_explain.log_format = ''json''']
                   LOOP EXECUTE format('ALTER DATABASE %I SET ', current_database()) || setting; END LOOP;
               END $$";
    database.execute(sql).await;
}

/// All plans logged so far.
///
/// # Panics
/// When the log does not contain them in time.
pub async fn logged_plans(postgres: &Postgres, database: &Database) -> Vec<Plan> {
    // A new session, because the settings do not apply to earlier ones.
    sqlx::query(LAST).execute(&mut database.connect().await).await.expect(LAST);
    wait::until("the plan of the last statement", || async {
        let plans = plans_in(&postgres.log());
        let complete = plans.iter().any(|plan| plan.query == LAST);
        if complete { Ok(plans) } else { Err(plans.last().cloned()) }
    })
    .await
}

fn plans_in(log: &[String]) -> Vec<Plan> {
    let mut plans = Vec::new();
    let mut lines = log.iter().peekable();
    while let Some(line) = lines.next() {
        if !line.ends_with("plan:") {
            continue;
        }
        let mut text = String::new();
        while let Some(more) = lines.next_if(|line| line.starts_with('\t')) {
            text.push_str(more.trim_start());
        }
        // The last one may be incomplete.
        let Ok(plan) = serde_json::from_str::<Value>(&text) else { continue };
        let mut scans = Vec::new();
        collect_scans(&plan["Plan"], &mut scans);
        plans.push(Plan { query: plan["Query Text"].as_str().unwrap_or_default().to_owned(), scans });
    }
    plans
}

fn collect_scans(node: &Value, scans: &mut Vec<Scan>) {
    let number = |name: &str| node[name].as_f64().unwrap_or_default();
    let text = |name: &str| node[name].as_str().unwrap_or_default().to_owned();
    let method = text("Node Type");
    if method.ends_with("Scan") && node["Relation Name"].is_string() {
        let rows = number("Actual Rows")
            + number("Rows Removed by Filter")
            + number("Rows Removed by Index Recheck");
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of rows")]
        let rows = (rows * number("Actual Loops")) as u64;
        scans.push(Scan { method, table: text("Relation Name"), rows });
    }
    for part in node["Plans"].as_array().into_iter().flatten() {
        collect_scans(part, scans);
    }
}

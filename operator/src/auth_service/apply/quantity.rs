//! Quantities of resources, which the API server spells in its own way. Pure.

use serde_json::Value;

/// Whether both are the same amount at a place that holds quantities: `0.5` and `500m` are the same CPU.
pub(super) fn is_same_quantity(path: &str, one: &Value, other: &Value) -> bool {
    let holds_quantities = ["/requests/", "/limits/", "/storage", "/averageValue", "/sizeLimit"]
        .iter()
        .any(|place| path.contains(place));
    holds_quantities
        && amount(one).zip(amount(other)).is_some_and(|(one, other)| (one - other).abs() <= one.abs() * 1e-12)
}

fn amount(value: &Value) -> Option<f64> {
    let text = match value {
        Value::String(text) => text.as_str(),
        Value::Number(number) => return number.as_f64(),
        _ => return None,
    };
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let end = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '-' | '+')))?;
    let (digits, suffix) = text.split_at(end);
    let factor: f64 = match suffix {
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024_f64,
        "Mi" => 1024_f64.powi(2),
        "Gi" => 1024_f64.powi(3),
        "Ti" => 1024_f64.powi(4),
        "Pi" => 1024_f64.powi(5),
        "Ei" => 1024_f64.powi(6),
        _ => return None,
    };
    digits.parse::<f64>().ok().map(|number| number * factor)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn equal_amounts_are_the_same_in_every_spelling() {
        let same = |one, other| is_same_quantity("/a/limits/cpu", &json!(one), &json!(other));
        for (one, other) in
            [("0.5", "500m"), ("1024Mi", "1Gi"), ("1e3", "1k"), ("1000m", "1"), ("1500Mi", "1572864000")]
        {
            assert!(same(one, other), "{one} {other}");
        }
        assert!(is_same_quantity("/limits/cpu", &json!(1), &json!("1")));
        for (one, other) in [("1", "2"), ("1Gi", "1G"), ("x", "x"), ("1x", "1x"), ("500m", "501m")] {
            assert!(!same(one, other), "{one} {other}");
        }
        assert!(!is_same_quantity("/data/NUMBER", &json!("1000m"), &json!("1")));
    }
}

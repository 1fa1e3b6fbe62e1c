//! Quantities of Kubernetes, such as 100m and 256Mi, in thousandths.

/// A quantity in thousandths, or `None` if the text is no quantity.
pub fn parse(text: &str) -> Option<i128> {
    let end =
        text.find(|character: char| !(character.is_ascii_digit() || ['.', '+', '-'].contains(&character)));
    let (number, suffix) = text.split_at(end.unwrap_or(text.len()));
    if !number.contains(|character: char| character.is_ascii_digit()) {
        return None;
    }
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    // At most nine digits of a fraction; the API server rounds up too.
    let fraction = format!("{:0<9}", fraction.get(..9).unwrap_or(fraction));
    let billionths = format!("{whole}{fraction}").parse::<i128>().ok()?;
    let (factor, divisor): (i128, i128) = match suffix {
        "n" => (1, 1_000_000),
        "u" => (1, 1_000),
        "m" => (1, 1),
        "" => (1_000, 1),
        "k" => (1_000_000, 1),
        "M" => (1_000_000_000, 1),
        "G" => (1_000_000_000_000, 1),
        "T" => (1_000_000_000_000_000, 1),
        "P" => (1_000_000_000_000_000_000, 1),
        "Ki" => (1_000 << 10, 1),
        "Mi" => (1_000 << 20, 1),
        "Gi" => (1_000 << 30, 1),
        "Ti" => (1_000 << 40, 1),
        "Pi" => (1_000 << 50, 1),
        _ => (exponent(suffix)?, 1),
    };
    billionths.checked_mul(factor).map(|value| value.div_euclid(1_000_000_000).div_euclid(divisor))
}

/// `e3`: thousandths times a thousand.
fn exponent(suffix: &str) -> Option<i128> {
    let digits = suffix.strip_prefix(['e', 'E'])?;
    let exponent: u32 = digits.parse().ok()?;
    10_i128.checked_pow(exponent)?.checked_mul(1_000)
}

/// A quantity for a message, in the unit that the resource is usually written in.
pub fn show(resource: &str, thousandths: i128) -> String {
    let name = resource.rsplit('.').next().unwrap_or(resource);
    match name {
        "memory" | "storage" | "ephemeral-storage" => format!("{}Mi", thousandths.div_euclid(1_000 << 20)),
        _ if thousandths % 1_000 == 0 => (thousandths / 1_000).to_string(),
        _ => format!("{thousandths}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_like_the_api_server_does() {
        for (text, expected) in [
            ("1", Some(1_000)),
            ("100m", Some(100)),
            ("0.5", Some(500)),
            (".5", Some(500)),
            ("256Mi", Some(256 * 1024 * 1024 * 1_000)),
            ("1G", Some(1_000_000_000_000)),
            ("1e3", Some(1_000_000)),
            ("1500u", Some(1)),
            ("", None),
            ("Mi", None),
            ("1x", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
        assert_eq!(show("limits.memory", 256 * 1024 * 1024 * 1_000), "256Mi");
        assert_eq!(show("requests.cpu", 150), "150m");
        assert_eq!(show("pods", 3_000), "3");
    }
}

//! The picture of the latency over the load.

use std::fmt::Write as _;

use crate::figure::number;
use crate::results::Point;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 420.0;
/// The distance of the axes from the edges.
const LEFT: f64 = 70.0;
const RIGHT: f64 = 150.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 50.0;

/// One of the latencies of a point.
type Value = fn(&Point) -> f64;

/// The scales of the axes: rates are linear, latencies logarithmic.
struct Scales {
    most_rate: f64,
    /// Decades of milliseconds.
    from: f64,
    to: f64,
}

impl Scales {
    fn of(points: &[Point]) -> Self {
        let latencies =
            || points.iter().flat_map(|point| [point.p50, point.p99, point.p999, point.plain_p99]);
        let positive = || latencies().filter(|value| *value > 0.0);
        Self {
            most_rate: points.iter().map(|point| point.rate).fold(1.0, f64::max) * 1.05,
            from: positive().fold(f64::INFINITY, f64::min).min(0.1).log10().floor(),
            to: positive().fold(1.0, f64::max).log10().ceil(),
        }
    }

    fn x(&self, rate: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * rate / self.most_rate
    }

    fn y(&self, millis: f64) -> f64 {
        let share = (millis.max(1e-3).log10() - self.from) / (self.to - self.from);
        HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share
    }
}

/// The latency of `/me` and of the plain response, over the rate of requests.
pub fn latency_over_load(points: &[Point]) -> String {
    let scales = Scales::of(points);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n"
    );
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    for decade in scales.from as i32..=scales.to as i32 {
        let y = scales.y(10_f64.powi(decade));
        let label = if decade < 0 {
            format!("{:.*}", decade.unsigned_abs() as usize, 10_f64.powi(decade))
        } else {
            format!("{:.0}", 10_f64.powi(decade))
        };
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\" stroke=\"#dddddd\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label} ms</text>",
            LEFT - 8.0,
            y + 4.0
        );
    }
    for point in points {
        let x = scales.x(point.rate);
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.1}\" y1=\"{bottom}\" x2=\"{x:.1}\" y2=\"{:.1}\" stroke=\"#333333\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            bottom + 5.0,
            bottom + 20.0,
            number(point.rate)
        );
    }
    let _ = writeln!(
        svg,
        "<polyline points=\"{LEFT},{TOP} {LEFT},{bottom} {right},{bottom}\" fill=\"none\" stroke=\"#333333\"/>\
         <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">requests per second</text>",
        f64::midpoint(LEFT, right),
        HEIGHT - 10.0
    );
    let lines: [(&str, &str, Value); 4] = [
        ("/me, 99.9%", "#b2182b", |point| point.p999),
        ("/me, 99%", "#ef8a62", |point| point.p99),
        ("/me, median", "#2166ac", |point| point.p50),
        ("plain response, 99%", "#888888", |point| point.plain_p99),
    ];
    for (number, (name, colour, value)) in lines.iter().enumerate() {
        let corners: Vec<String> = points
            .iter()
            .map(|point| format!("{:.1},{:.1}", scales.x(point.rate), scales.y(value(point))))
            .collect();
        let y = TOP + 10.0 + 20.0 * number as f64;
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\
             <text x=\"{:.1}\" y=\"{y:.1}\" fill=\"{colour}\">{name}</text>",
            corners.join(" "),
            right + 12.0
        );
    }
    svg.push_str("</svg>\n");
    svg
}

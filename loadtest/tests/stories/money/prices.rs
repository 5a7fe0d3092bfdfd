//! Prices of a story's own, and what they make of a bill: by hand, in whole pico-USD.
//!
//! Each kind of unit has a price that no other has, with digits to the last place: whatever lands
//! in the wrong class, or is rounded twice, shows in the sum.

use super::books::NANOS;
use std::fmt::Write;
use weft_loadtest::mesh::world::World;
use weft_proto::usage::{Class, Usage};

/// What an owner earns of a thousand where nothing else was agreed.
const SHARE: i128 = 800;
/// Pico-USD in a nano-USD.
const PICOS: i128 = 1_000;

/// The column, its units as a power of ten, and the price of one unit in pico-USD.
const fn priced(class: Class) -> (&'static str, usize, i128) {
    match class {
        Class::Input => ("input", 6, 1_234_562),
        Class::InputAudio => ("input_audio", 6, 32_100_006),
        Class::InputImage => ("input_image", 6, 8_000_002),
        Class::CacheRead => ("cache_read", 6, 123_458),
        Class::CacheReadAudio => ("cache_read_audio", 6, 400_006),
        Class::CacheReadImage => ("cache_read_image", 6, 800_014),
        Class::CacheWrite => ("cache_write", 6, 1_543_202),
        Class::CacheWrite1h => ("cache_write_1h", 6, 2_469_126),
        Class::Output => ("output", 6, 9_876_542),
        Class::Reasoning => ("reasoning", 6, 9_876_566),
        Class::OutputAudio => ("output_audio", 6, 64_000_222),
        Class::OutputImage => ("output_image", 6, 40_000_078),
        Class::AudioMillis => ("audio_second", 3, 100_002),
        Class::Characters => ("characters", 6, 15_000_106),
        Class::WebSearch => ("web_search", 3, 10_000_000_358),
        Class::WebFetch => ("web_fetch", 3, 1_000_000_014),
        Class::FileSearch => ("file_search", 3, 2_500_000_026),
        Class::CodeSession => ("code_session", 0, 30_000_000_062),
        Class::Image => ("image", 0, 40_000_000_082),
        Class::ToolCall => ("tool_call", 3, 1_100_000_018),
        Class::Request => ("request", 3, 700_000_034),
        Class::RejectedPrediction => ("rejected_prediction", 6, 9_876_598),
        Class::VideoMillis => ("video_second", 3, 100_000_022),
    }
}

/// Puts them in force, for whatever is asked for.
pub(crate) fn activate(world: &World) {
    let mut text = "provider,model,tier".to_owned();
    let mut prices = String::new();
    for class in Class::ALL {
        let (column, power, pico) = priced(class);
        write!(text, ",{column}").unwrap();
        let usd = pico * 10_i128.pow(u32::try_from(power).unwrap());
        let whole = PICOS * NANOS;
        write!(prices, ",{}.{:012}", usd / whole, usd % whole).unwrap();
    }
    for provider in ["openai", "azure", "anthropic", "deepseek"] {
        write!(text, "\n{provider},*,standard flex:0.5 priority:2 batch:0.5{prices}").unwrap();
    }
    text.push('\n');
    let file = world.dir().join("every-class.csv");
    std::fs::write(&file, text).expect("a file of prices");
    let words = ["prices", "import", &file.display().to_string(), "--activate"];
    world.hub.ask(&words).expect("the prices come into force");
}

/// What the user pays and what the owner earns for a bill, in nano-USD: one rounding each, against
/// the user and against the owner. `percent` is the tier's part of the price.
pub(crate) fn worth(bill: &Usage, percent: i128) -> (i128, i128) {
    let list: i128 = bill.iter().map(|(class, units)| i128::from(units) * priced(class).2).sum();
    let list = list * percent;
    let charge = (list + PICOS * 100 - 1) / (PICOS * 100);
    (charge, list * SHARE / (PICOS * 100 * 1_000))
}

use super::*;
use crate::contract::Seed;
use crate::train::tensors::{TensorBytes, TensorKind, save_tensors};
use serde_json::json;

fn content(values: &[f32]) -> CheckpointContent<'_> {
    let mut content = CheckpointContent { state: json!({ "rate": 0.1, "rng": [1, u64::MAX] }), ..Default::default() };
    let tensors = vec![
        ("z.weight".to_owned(), TensorBytes::f32(&[2, 2], values)),
        ("a.bias".to_owned(), TensorBytes::f32(&[4], values)),
        ("frames".to_owned(), TensorBytes::u8(&[3], &[7, 8, 9])),
        ("steps".to_owned(), TensorBytes::i64(&[1], &[-5])),
    ];
    content.groups.insert("model".into(), tensors);
    content.groups.insert("replay".into(), vec![("empty".to_owned(), TensorBytes::u8(&[0, 64], &[]))]);
    content
}

fn latest(checkpoints: &Checkpoints) -> (Option<u64>, Vec<String>) {
    let mut damaged = Vec::new();
    let found = checkpoints.load_latest(|e| damaged.push(e.to_string())).unwrap();
    (found.map(|c| c.step), damaged)
}

#[test]
fn saved_and_loaded_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::new(folder.path().join("checkpoints"));
    let values = [1.5, -0.0, f32::NAN, f32::MIN_POSITIVE / 8.0];
    checkpoints.save(100, &content(&values)).unwrap();
    let loaded = checkpoints.load(100).unwrap();
    assert_eq!(loaded.state, json!({ "rate": 0.1, "rng": [1, u64::MAX] }));
    let tensors = loaded.groups["model"].tensors().unwrap();
    let names: Vec<&str> = tensors.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["a.bias", "frames", "steps", "z.weight"]);
    assert_eq!((tensors[3].1.kind, tensors[3].1.shape.as_slice()), (TensorKind::F32, &[2, 2][..]));
    let bits = |v: &[f32]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&tensors[3].1.to_f32().unwrap()), bits(&values));
    assert_eq!(tensors[2].1.to_i64().unwrap(), [-5]);
    assert_eq!(loaded.groups["replay"].tensors().unwrap()[0].1.shape, [0, 64]);

    // Same content, same bytes, whatever the order it comes in.
    let mut turned = content(&values);
    turned.groups.get_mut("model").unwrap().reverse();
    let other = Checkpoints::new(folder.path().join("other"));
    other.save(100, &turned).unwrap();
    let read = |c: &Checkpoints| std::fs::read(c.path(100).join("checksums.txt")).unwrap();
    assert_eq!(read(&checkpoints), read(&other));
}

#[test]
fn every_float_of_the_state_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::new(folder.path().into());
    let mut rng = Seed(9).rng();
    let mut floats = vec![-0.0, 5e-324, f64::MAX, 1.0, 1e23, 0.1 + 0.2];
    floats.extend((0..20_000).map(|_| f64::from_bits(rng.next_u64())).filter(|x| x.is_finite()));
    let state = json!({ "b": floats, "a": { "x": 1, "y": 2.5 }, "c": null });
    checkpoints.save(1, &CheckpointContent { state, ..Default::default() }).unwrap();
    let loaded = checkpoints.load(1).unwrap().state;
    let found = loaded["b"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap().to_bits());
    assert!(found.eq(floats.iter().map(|x| x.to_bits())));
    assert_eq!(loaded["a"], json!({ "x": 1, "y": 2.5 }));
}

#[test]
fn the_last_three_stay_and_a_step_can_be_saved_again() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::new(folder.path().into());
    for step in [10, 20, 30, 40, 40] {
        checkpoints.save(step, &content(&[step as f32; 4])).unwrap();
    }
    assert_eq!(checkpoints.steps().unwrap(), [20, 30, 40]);
    let names = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(names, 3, "nothing temporary is left");
}

#[test]
fn a_damaged_checkpoint_is_named_and_the_one_before_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::new(folder.path().into());
    assert_eq!(latest(&checkpoints), (None, vec![]));
    [1, 2, 3].iter().for_each(|&step| drop(checkpoints.save(step, &content(&[0.0; 4])).unwrap()));
    assert_eq!(latest(&checkpoints), (Some(3), vec![]));

    let file = checkpoints.path(3).join("model.safetensors");
    let mut bytes = std::fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    let (step, damaged) = latest(&checkpoints);
    assert_eq!(step, Some(2));
    assert!(damaged[0].contains("step-000000003") && damaged[0].contains("checksum"), "{damaged:?}");

    std::fs::remove_file(checkpoints.path(2).join("state.json")).unwrap();
    let (step, damaged) = latest(&checkpoints);
    assert_eq!((step, damaged.len()), (Some(1), 2));
    assert!(damaged[1].contains("state.json"), "{damaged:?}");

    // Of none that is whole the newest is named: starting anew must be somebody's wish.
    let list = checkpoints.path(1).join("checksums.txt");
    let kept = std::fs::read(&list).unwrap();
    let cut = kept.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    std::fs::write(&list, &kept[..cut]).unwrap();
    let message = checkpoints.load_latest(|_| ()).unwrap_err().to_string();
    assert!(message.contains("none of the checkpoints") && message.contains("step-000000003"), "{message}");
    std::fs::write(&list, kept).unwrap();

    // A process that died while writing leaves a temporary folder: no checkpoint, and gone with the next save.
    std::fs::create_dir(folder.path().join(".tmp-99")).unwrap();
    assert_eq!(latest(&checkpoints).0, Some(1));
    checkpoints.save(4, &content(&[0.0; 4])).unwrap();
    assert!(!folder.path().join(".tmp-99").exists());
}

#[test]
fn what_cannot_be_saved_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::new(folder.path().into());
    let text = |content: &CheckpointContent| checkpoints.save(1, content).unwrap_err().to_string();
    let mut short = content(&[0.0; 4]);
    short.groups.get_mut("model").unwrap()[0].1.shape = vec![3, 2];
    assert!(text(&short).contains("'z.weight' of shape [3, 2]"), "{}", text(&short));
    let mut twice = content(&[0.0; 4]);
    let again = twice.groups["model"][0].clone();
    twice.groups.get_mut("model").unwrap().push(again);
    assert!(text(&twice).contains("two tensors called 'z.weight'"), "{}", text(&twice));
    let mut outside = content(&[0.0; 4]);
    outside.groups.insert("../x".into(), vec![]);
    assert!(text(&outside).contains("cannot be a file name"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn foreign_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.pt");
    std::fs::write(&path, b"PK\x03\x04 a pickle in a zip, as torch.save writes it").unwrap();
    let error = TensorFile::read(&path).unwrap_err().to_string();
    assert!(error.contains("weights.pt") && error.contains("no safetensors file"), "{error}");
    let path = folder.path().join("weights.safetensors");
    save_tensors(&path, &[("w".into(), TensorBytes::f32(&[1], &[2.5]))]).unwrap();
    assert_eq!(TensorFile::read(&path).unwrap().tensors().unwrap()[0].1.to_f32().unwrap(), [2.5]);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn tensor_files_are_those_of_the_safetensors_crate_and_nothing_else_is_left() {
    use safetensors::tensor::{Dtype, TensorView, serialize};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let tensors = content(&[1.0, -2.0, 3.5, 0.1]).groups.remove("model").unwrap();
    let written = save_tensors(&path, &tensors).unwrap();
    let dtype = |kind| match kind {
        TensorKind::F32 => Dtype::F32,
        TensorKind::I64 => Dtype::I64,
        _ => Dtype::U8,
    };
    let view = |tensor: &'static str| {
        let tensor = &tensors.iter().find(|(name, _)| name == tensor).unwrap().1;
        TensorView::new(dtype(tensor.kind), tensor.shape.clone(), &tensor.data).unwrap()
    };
    let views = ["steps", "z.weight", "frames", "a.bias"].map(|name| (name, view(name)));
    let information = [("format".to_owned(), "pt".to_owned())].into();
    let expected = serialize(views, Some(information)).unwrap();
    assert!(std::fs::read(&path).unwrap() == expected);
    assert_eq!((written.bytes, written.sha256), (expected.len() as u64, sha256_hex(&expected)));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

//! Every op against PyTorch: values and gradients of `tests/fixtures/torch/ops.safetensors`, which `ops.py` beside it made.
//!
//! In: the cases of [`super`], by name. A case that the fixture does not know fails.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Result, Tensor, Var};

use super::{Activations, OpKind, SingularVectors, assert_close, each_case, spectral_normalize, values};

struct Fixture(HashMap<String, Tensor>);

impl Fixture {
    fn load() -> Result<Self> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/torch/ops.safetensors");
        Ok(Self(candle_core::safetensors::load(path, &Device::Cpu)?))
    }

    fn get(&self, case: &str, name: &str) -> Result<Tensor> {
        match self.0.get(&format!("{case}/{name}")) {
            Some(tensor) => Ok(tensor.clone()),
            None => candle_core::bail!("'{case}/{name}' is not in the fixture; add the case to ops.py and run it"),
        }
    }
}

#[test]
fn values_and_gradients_equal_pytorch() -> Result<()> {
    let fixture = Fixture::load()?;
    let mut checked = 0;
    each_case(|what, case| {
        // Dropout draws from our generator, and the vectors of spectral normalization are state: checked below, and
        // beside the op.
        if [OpKind::Dropout, OpKind::SpectralNorm].iter().any(|kind| what.starts_with(&format!("{kind:?} "))) {
            return Ok(());
        }
        // The same sums in another layout, which the other checks compare.
        if what.starts_with("Conv lanes of samples") {
            return Ok(());
        }
        checked += 1;
        let expected = fixture.get(what, "output")?;
        for (dtype, tolerance) in [(DType::F64, 1e-10), (DType::F32, 2e-5)] {
            let count = case.values.len() + case.tensors.len();
            let vars = (0..count)
                .map(|index| Var::from_tensor(&fixture.get(what, &format!("input{index}"))?.to_dtype(dtype)?))
                .collect::<Result<Vec<_>>>()?;
            let inputs: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
            let output = case.run(&inputs, Activations::from_tensor)?;
            assert_close(&format!("{what} {dtype:?}"), &output, &expected, tolerance)?;
            let factors = fixture.get(what, "factors")?.to_dtype(dtype)?;
            let gradients = (&output * &factors)?.sum_all()?.backward()?;
            for (index, var) in vars.iter().enumerate() {
                let gradient = gradients.get(var).cloned().map_or_else(|| var.zeros_like(), Ok)?;
                let expected = fixture.get(what, &format!("gradient{index}"))?;
                assert_close(&format!("{what} {dtype:?}, gradient of input {index}"), &gradient, &expected, tolerance)?;
            }
        }
        Ok(())
    })?;
    assert_eq!(checked, fixture.0.keys().filter(|name| name.ends_with("/output")).count() - 1);
    Ok(())
}

#[test]
fn spectral_normalization_takes_pytorchs_step() -> Result<()> {
    let fixture = Fixture::load()?;
    let get = |name: &str| fixture.get("SpectralNorm", name);
    let weight = Var::from_tensor(&get("input0")?)?;
    let mut vectors = SingularVectors { left: values(&get("left")?)?, right: values(&get("right")?)? };
    let normalized = spectral_normalize(weight.as_tensor(), &mut vectors, 1)?;
    assert_close("weight", &normalized, &get("output")?, 1e-10)?;
    let shape = |vector: &[f64]| Tensor::from_slice(vector, vector.len(), &Device::Cpu);
    assert_close("left", &shape(&vectors.left)?, &get("new_left")?, 1e-10)?;
    assert_close("right", &shape(&vectors.right)?, &get("new_right")?, 1e-10)?;
    let gradients = (normalized * get("factors")?)?.sum_all()?.backward()?;
    let Some(gradient) = gradients.get(&weight) else { candle_core::bail!("no gradient") };
    assert_close("gradient", gradient, &get("gradient0")?, 1e-10)
}

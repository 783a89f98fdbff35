//! Checks of every op: gradients against finite differences in f64, native against stock, both against PyTorch.
//!
//! [`OpKind`] is the register: the `match` in [`cases`] has no wildcard, so an op without a check does not compile.

use candle_core::{DType, Device, Result, Tensor, Var};

use crate::contract::{Rng, Seed};

use super::loss;
use super::*;

mod pytorch;

type Function = Box<dyn Fn(&[Activations], &[Tensor]) -> Result<Tensor>>;

/// One op on small inputs: some enter as values, some are plain tensors (weights). The function returns any tensor; the
/// check reduces it to a scalar with random factors.
struct Case {
    name: &'static str,
    values: Vec<Vec<usize>>,
    tensors: Vec<Vec<usize>>,
    function: Function,
}

fn case(
    name: &'static str,
    values: &[&[usize]],
    tensors: &[&[usize]],
    function: impl Fn(&[Activations], &[Tensor]) -> Result<Tensor> + 'static,
) -> Case {
    let owned = |shapes: &[&[usize]]| shapes.iter().map(|s| s.to_vec()).collect();
    Case { name, values: owned(values), tensors: owned(tensors), function: Box::new(function) }
}

fn conv_case(
    name: &'static str,
    x: [usize; 4],
    w: [usize; 4],
    stride: [usize; 2],
    padding: [usize; 2],
    activation: Activation,
) -> Case {
    case(name, &[&x], &[&w, &[w[0]]], move |v, t| {
        conv2d(&v[0], &t[0], Some(&t[1]), stride, padding, activation)?.to_tensor()
    })
}

fn conv_cases() -> Vec<Case> {
    let relu = Activation::Relu;
    let none = Activation::None;
    vec![
        conv_case("3x3", [2, 3, 6, 7], [4, 3, 3, 3], [1, 1], [1, 1], none),
        conv_case("1x1", [3, 5, 4, 5], [2, 5, 1, 1], [1, 1], [0, 0], relu),
        conv_case("3x3 stride 2", [2, 3, 8, 8], [4, 3, 3, 3], [2, 2], [1, 1], Activation::LeakyRelu(0.2)),
        conv_case("3x3 stride 2, odd", [1, 2, 7, 9], [3, 2, 3, 3], [2, 2], [1, 1], none),
        conv_case("1x1 stride 2", [2, 2, 5, 6], [3, 2, 1, 1], [2, 2], [0, 0], none),
        conv_case("5x5 stride 3, wide padding", [1, 2, 9, 11], [2, 2, 5, 5], [3, 3], [4, 3], none),
        conv_case("2x4 kernel, uneven stride", [1, 3, 6, 9], [2, 3, 2, 4], [1, 2], [0, 1], Activation::Tanh),
        conv_case("7x7 to three channels, rows of 16", [1, 2, 5, 16], [3, 2, 7, 7], [1, 1], [3, 3], none),
        conv_case("rows of 32 from stride 2", [1, 2, 4, 32], [9, 2, 3, 3], [2, 2], [1, 1], relu),
        conv_case("seventeen samples share units", [17, 2, 3, 3], [3, 2, 3, 3], [1, 1], [1, 1], relu),
        conv_case("one pixel", [2, 3, 1, 1], [2, 3, 3, 3], [1, 1], [1, 1], none),
        conv_case("valid", [2, 3, 5, 5], [4, 3, 3, 3], [1, 1], [0, 0], Activation::Sigmoid),
        conv_case("4x4 stride 2", [2, 3, 8, 8], [4, 3, 4, 4], [2, 2], [1, 1], none),
        case("no bias, concatenation", &[&[2, 2, 4, 5], &[2, 3, 4, 5]], &[&[3, 5, 3, 3]], move |v, t| {
            let options = ConvOptions { padding: [1, 1], activation: relu, ..Default::default() };
            conv2d_fused(&[(&v[0]).into(), (&v[1]).into()], &t[0], None, options)?.to_tensor()
        }),
        case("the same input twice", &[&[2, 2, 4, 4]], &[&[3, 4, 1, 1]], move |v, t| {
            conv2d_fused(&[(&v[0]).into(), (&v[0]).into()], &t[0], None, ConvOptions::default())?.to_tensor()
        }),
        case("bilinear and skip", &[&[2, 2, 3, 4], &[2, 3, 6, 8]], &[&[3, 5, 3, 3], &[3]], move |v, t| {
            let enlarged = ConvInput { value: &v[0], resample: Resample::Bilinear2 };
            let options = ConvOptions { padding: [1, 1], activation: Activation::LeakyRelu(0.1), ..Default::default() };
            conv2d_fused(&[enlarged, (&v[1]).into()], &t[0], Some(&t[1]), options)?.to_tensor()
        }),
        case("instance norm", &[&[2, 3, 5, 6]], &[&[4, 3, 3, 3], &[4], &[4], &[4]], move |v, t| {
            let options = ConvOptions {
                padding: [1, 1],
                norm: ConvNorm::Instance { epsilon: 1e-5, gamma: Some(&t[2]), beta: Some(&t[3]) },
                activation: Activation::LeakyRelu(0.3),
                ..Default::default()
            };
            conv2d_fused(&[(&v[0]).into()], &t[0], Some(&t[1]), options)?.to_tensor()
        }),
        case("instance norm without parameters", &[&[9, 2, 4, 4]], &[&[3, 2, 3, 3]], move |v, t| {
            let norm = ConvNorm::Instance { epsilon: 1e-5, gamma: None, beta: None };
            let options = ConvOptions { padding: [1, 1], norm, ..Default::default() };
            conv2d_fused(&[(&v[0]).into()], &t[0], None, options)?.to_tensor()
        }),
        case("nearest and skip, not folded", &[&[1, 2, 3, 4], &[1, 1, 6, 8]], &[&[2, 3, 3, 3]], move |v, t| {
            let enlarged = ConvInput { value: &v[0], resample: Resample::Nearest2 };
            let options = ConvOptions { padding: [1, 1], ..Default::default() };
            conv2d_fused(&[enlarged, (&v[1]).into()], &t[0], None, options)?.to_tensor()
        }),
    ]
}

fn nearest_conv(name: &'static str, x: [usize; 4], w: [usize; 4], normalized: bool) -> Case {
    case(name, &[&x], &[&w, &[w[0]]], move |v, t| {
        let norm = ConvNorm::Instance { epsilon: 1e-5, gamma: None, beta: None };
        let options = ConvOptions {
            padding: [w[2] / 2; 2],
            norm: if normalized { norm } else { ConvNorm::None },
            activation: Activation::LeakyRelu(0.2),
            ..Default::default()
        };
        let enlarged = ConvInput { value: &v[0], resample: Resample::Nearest2 };
        conv2d_fused(&[enlarged], &t[0], Some(&t[1]), options)?.to_tensor()
    })
}

fn norm_options<'a>(t: &'a [Tensor], activation: Activation) -> NormOptions<'a> {
    NormOptions { gamma: t.first(), beta: t.get(1), epsilon: 1e-5, activation }
}

/// The checks of one op.
fn cases(kind: OpKind) -> Vec<Case> {
    let leaky = Activation::LeakyRelu(0.2);
    match kind {
        // Entering and leaving: a value used twice, once through a native op, must collect both gradients.
        OpKind::Enter | OpKind::Leave => {
            vec![case("twice", &[&[2, 3]], &[], |v, _| v[0].to_tensor()? * add(&v[0], &v[0])?.to_tensor()?)]
        }
        OpKind::Conv => conv_cases(),
        OpKind::NearestUpConv => vec![
            nearest_conv("3x3", [2, 3, 4, 5], [4, 3, 3, 3], false),
            nearest_conv("5x5, rows of 16", [1, 2, 3, 16], [3, 2, 5, 5], false),
            nearest_conv("1x1", [9, 2, 3, 3], [3, 2, 1, 1], false),
            nearest_conv("3x3 normalized", [9, 2, 3, 3], [3, 2, 3, 3], true),
        ],
        OpKind::Linear => vec![
            case("bias", &[&[5, 7]], &[&[3, 7], &[3]], move |v, t| {
                linear(&v[0], &t[0], Some(&t[1]), leaky)?.to_tensor()
            }),
            case("no bias, one sample", &[&[1, 4]], &[&[6, 4]], |v, t| {
                linear(&v[0], &t[0], None, Activation::Tanh)?.to_tensor()
            }),
            case("one weight twice", &[&[2, 4]], &[&[4, 4], &[4]], |v, t| {
                let once = linear(&v[0], &t[0], Some(&t[1]), Activation::Tanh)?;
                linear(&once, &t[0], Some(&t[1]), Activation::None)?.to_tensor()
            }),
            case("three dimensions", &[&[2, 3, 4]], &[&[5, 4], &[5]], |v, t| {
                linear(&v[0], &t[0], Some(&t[1]), Activation::None)?.to_tensor()
            }),
        ],
        OpKind::Activation => {
            [("relu", Activation::Relu), ("leaky", leaky), ("tanh", Activation::Tanh), ("sigmoid", Activation::Sigmoid)]
                .into_iter()
                .map(|(name, a)| case(name, &[&[3, 7]], &[], move |v, _| activate(&v[0], a)?.to_tensor()))
                .collect()
        }
        OpKind::Add => vec![case("", &[&[2, 5], &[2, 5]], &[], |v, _| {
            let sum = add(&v[0], &v[1])?;
            mul(&sum, &add(&sum, &v[0])?)?.to_tensor()
        })],
        OpKind::Mul => vec![
            case("", &[&[2, 5], &[2, 5]], &[], |v, _| mul(&v[0], &v[1])?.to_tensor()),
            case("square", &[&[2, 5]], &[], |v, _| mul(&v[0], &v[0])?.to_tensor()),
        ],
        OpKind::Scale => vec![case("", &[&[4, 3]], &[], |v, _| affine(&v[0], -1.5, 0.25)?.to_tensor())],
        OpKind::Concat => vec![
            case("images", &[&[2, 1, 3, 2], &[2, 4, 3, 2], &[2, 2, 3, 2]], &[], |v, _| {
                concat(&[&v[0], &v[1], &v[2]])?.to_tensor()
            }),
            case("five vectors, one twice", &[&[3, 1], &[3, 2], &[3, 3], &[3, 1]], &[], |v, _| {
                concat(&[&v[0], &v[1], &v[2], &v[3], &v[0]])?.to_tensor()
            }),
        ],
        OpKind::Reshape => {
            vec![case("", &[&[2, 3, 2, 2]], &[], |v, _| add(&flatten(&v[0])?, &reshape(&v[0], &[2, 12])?)?.to_tensor())]
        }
        OpKind::UpsampleNearest => vec![
            case("2", &[&[2, 2, 3, 4]], &[], |v, _| upsample_nearest(&v[0], [2, 2])?.to_tensor()),
            case("3 and 1", &[&[1, 2, 2, 3]], &[], |v, _| upsample_nearest(&v[0], [3, 1])?.to_tensor()),
        ],
        OpKind::UpsampleBilinear => vec![
            case("2", &[&[2, 2, 3, 4]], &[], |v, _| upsample_bilinear(&v[0], [6, 8])?.to_tensor()),
            case("one pixel", &[&[1, 2, 1, 1]], &[], |v, _| upsample_bilinear(&v[0], [2, 2])?.to_tensor()),
            case("odd", &[&[1, 2, 3, 5]], &[], |v, _| upsample_bilinear(&v[0], [7, 8])?.to_tensor()),
            case("smaller", &[&[1, 2, 8, 6]], &[], |v, _| upsample_bilinear(&v[0], [4, 5])?.to_tensor()),
        ],
        OpKind::AvgPool => vec![
            case("2", &[&[2, 2, 4, 6]], &[], |v, _| avg_pool(&v[0], [2, 2], [2, 2])?.to_tensor()),
            case("overlapping, odd", &[&[1, 2, 7, 8]], &[], |v, _| avg_pool(&v[0], [3, 2], [2, 3])?.to_tensor()),
            case("global", &[&[3, 2, 4, 5]], &[], |v, _| global_avg_pool(&v[0])?.to_tensor()),
        ],
        OpKind::MaxPool => vec![
            case("2", &[&[2, 2, 4, 6]], &[], |v, _| max_pool(&v[0], [2, 2], [2, 2])?.to_tensor()),
            case("3, overlapping", &[&[1, 2, 7, 8]], &[], |v, _| max_pool(&v[0], [3, 3], [2, 2])?.to_tensor()),
        ],
        OpKind::InstanceNorm => vec![
            case("affine", &[&[2, 3, 4, 5]], &[&[3], &[3]], move |v, t| {
                instance_norm(&v[0], norm_options(t, leaky))?.to_tensor()
            }),
            case("plain", &[&[1, 2, 4, 4]], &[], |v, t| {
                instance_norm(&v[0], norm_options(t, Activation::None))?.to_tensor()
            }),
        ],
        OpKind::GroupNorm => vec![case("", &[&[2, 6, 3, 3]], &[&[6], &[6]], move |v, t| {
            group_norm(&v[0], 2, norm_options(t, leaky))?.to_tensor()
        })],
        OpKind::BatchNorm => vec![
            case("training", &[&[3, 2, 3, 4]], &[&[2], &[2]], move |v, t| {
                batch_norm(&v[0], BatchStatistics::Batch, norm_options(t, leaky))?.0.to_tensor()
            }),
            case("evaluation", &[&[3, 2, 3, 4]], &[&[2], &[2]], move |v, t| {
                let statistics = BatchStatistics::Fixed { mean: &[0.3, -0.2], variance: &[1.5, 0.7] };
                batch_norm(&v[0], statistics, norm_options(t, leaky))?.0.to_tensor()
            }),
        ],
        OpKind::LayerNorm => vec![
            case("affine", &[&[5, 6]], &[&[6], &[6]], move |v, t| {
                layer_norm(&v[0], norm_options(t, leaky))?.to_tensor()
            }),
            case("plain, three dimensions", &[&[2, 3, 5]], &[], |v, t| {
                layer_norm(&v[0], norm_options(t, Activation::None))?.to_tensor()
            }),
        ],
        OpKind::Softmax => vec![
            case("rows", &[&[3, 5]], &[], |v, _| softmax(&v[0], 1)?.to_tensor()),
            case("channels", &[&[2, 4, 3, 2]], &[], |v, _| softmax(&v[0], 1)?.to_tensor()),
        ],
        OpKind::Dropout => vec![case("", &[&[4, 9]], &[], |v, _| dropout(&v[0], 0.4, Seed(3))?.to_tensor())],
        OpKind::ReflectionPad => vec![
            case("3 and 1", &[&[2, 2, 4, 3]], &[], |v, _| reflection_pad(&v[0], [3, 1])?.to_tensor()),
            case("rows only", &[&[1, 1, 3, 4]], &[], |v, _| reflection_pad(&v[0], [2, 0])?.to_tensor()),
        ],
        OpKind::BroadcastAdd => vec![
            case("one each", &[&[2, 3, 2, 2], &[2, 3]], &[], |v, _| broadcast_add(&v[0], &v[1])?.to_tensor()),
            case("four each", &[&[2, 3, 2, 2], &[8, 3]], &[], |v, _| broadcast_add(&v[0], &v[1])?.to_tensor()),
        ],
        OpKind::GridSample => vec![
            case("places of their own, edges", &[&[2, 3, 3, 4]], &[], |v, _| {
                let own = [
                    [[0.25, 0.5], [0.25, 0.5], [-3.0, 1.125], [9.0, 9.0]],
                    [[3.0, 2.0], [3.5, 1.75], [0.0, 0.0], [0.0, -0.5]],
                ];
                let grid = SampleGrid::per_image(2, 4, [4, 3], Bilinear::Weighted, |image| own[image].into_iter());
                grid_sample(&v[0], 0..3, &grid)?.to_tensor()
            }),
            case("the same places, some channels", &[&[3, 3, 4, 5]], &[], |v, _| {
                let same = [[0.0, 0.0], [1.625, 3.5], [1.625, 3.5], [4.0, 0.25], [2.0, 7.0], [-1.0, -1.0]];
                let grid = SampleGrid::shared([5, 4], Bilinear::Separable, same.into_iter());
                grid_sample(&v[0], 1..3, &grid)?.to_tensor()
            }),
        ],
        OpKind::SpectralNorm => vec![case("", &[], &[&[4, 2, 3, 3]], |_, t| {
            let mut rng = Seed(9).rng();
            let mut unit = |len: usize| {
                let v: Vec<f64> = (0..len).map(|_| f64::from(rng.normal())).collect();
                let norm = v.iter().map(|x| x * x).sum::<f64>().sqrt();
                v.into_iter().map(|x| x / norm).collect::<Vec<_>>()
            };
            let mut vectors = SingularVectors { left: unit(4), right: unit(18) };
            spectral_normalize(&t[0], &mut vectors, 0)
        })],
        OpKind::SigmoidCrossEntropy => vec![
            case("", &[], &[&[3, 4]], |_, t| loss::sigmoid_cross_entropy(&t[0], 1.0)),
            case("targets", &[], &[&[3, 4], &[3, 4]], |_, t| loss::sigmoid_cross_entropy(&t[0], &t[1])),
        ],
        OpKind::SoftmaxCrossEntropy => vec![
            case("maps", &[], &[&[2, 3, 2, 2]], |_, t| {
                loss::softmax_cross_entropy(
                    &t[0],
                    &Tensor::new(&[[[0_u32, 2], [1, 1]], [[2, 0], [0, 1]]], &Device::Cpu)?,
                )
            }),
            case("vectors", &[], &[&[3, 4]], |_, t| {
                loss::softmax_cross_entropy(&t[0], &Tensor::new(&[3_u32, 0, 1], &Device::Cpu)?)
            }),
        ],
        OpKind::LeastSquares => vec![case("", &[], &[&[3, 4]], |_, t| loss::least_squares_gan(&t[0], 1.0))],
        OpKind::PairwiseSquaredError => {
            vec![case("", &[], &[&[3, 2, 2, 2], &[3, 2, 2, 2]], |_, t| loss::pairwise_squared_error(&t[0], &t[1]))]
        }
        OpKind::AbsoluteError => {
            vec![case("", &[], &[&[3, 4], &[3, 4]], |_, t| loss::absolute_error(&t[0], &t[1]))]
        }
        OpKind::SquaredError => vec![
            case("", &[], &[&[3, 4], &[3, 4]], |_, t| loss::squared_error(&t[0], &t[1])),
            case("mean square", &[&[2, 3]], &[], |v, _| mean_square(&v[0])),
        ],
    }
}

fn random(rng: &mut Rng, shape: &[usize]) -> Result<Tensor> {
    let values: Vec<f64> = (0..shape.iter().product()).map(|_| f64::from(rng.normal())).collect();
    Tensor::from_vec(values, shape, &Device::Cpu)
}

impl Case {
    fn inputs(&self, seed: u64) -> Result<Vec<Tensor>> {
        let mut rng = Seed(seed).derive(self.name, 0).rng();
        self.values.iter().chain(&self.tensors).map(|shape| random(&mut rng, shape)).collect()
    }

    fn run(&self, inputs: &[Tensor], enter: fn(&Tensor) -> Result<Activations>) -> Result<Tensor> {
        let (values, tensors) = inputs.split_at(self.values.len());
        let values = values.iter().map(enter).collect::<Result<Vec<_>>>()?;
        (self.function)(&values, tensors)
    }

    /// Output and the gradient of every input, of `sum(output * factors)`.
    fn gradients(&self, inputs: &[Tensor], enter: fn(&Tensor) -> Result<Activations>) -> Result<(Tensor, Vec<Tensor>)> {
        let vars = inputs.iter().map(Var::from_tensor).collect::<Result<Vec<_>>>()?;
        let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
        let output = self.run(&tensors, enter)?;
        let factors = factors(&output)?;
        let grads = (&output * &factors)?.sum_all()?.backward()?;
        let gradients = vars
            .iter()
            .map(|var| grads.get(var).cloned().map_or_else(|| var.zeros_like(), Ok))
            .collect::<Result<Vec<_>>>()?;
        Ok((output.detach(), gradients))
    }
}

fn factors(output: &Tensor) -> Result<Tensor> {
    random(&mut Seed(77).rng(), output.dims())?.to_dtype(output.dtype())
}

fn stock(tensor: &Tensor) -> Result<Activations> {
    Ok(Activations::stock(tensor.clone()))
}

fn values(tensor: &Tensor) -> Result<Vec<f64>> {
    tensor.flatten_all()?.to_dtype(DType::F64)?.to_vec1()
}

fn assert_close(what: &str, a: &Tensor, b: &Tensor, tolerance: f64) -> Result<()> {
    assert_eq!(a.dims(), b.dims(), "{what}");
    let (a, b) = (values(a)?, values(b)?);
    let scale = b.iter().fold(1.0_f64, |m, x| m.max(x.abs()));
    for (i, (x, y)) in a.iter().zip(&b).enumerate() {
        assert!((x - y).abs() <= tolerance * scale, "{what}: element {i}: {x} against {y} (scale {scale})");
    }
    Ok(())
}

fn each_case(mut check: impl FnMut(&str, &Case) -> Result<()>) -> Result<()> {
    for kind in OpKind::ALL {
        let cases = cases(kind);
        assert!(!cases.is_empty(), "{kind:?} has no check");
        for case in cases {
            check(&format!("{kind:?} {}", case.name), &case)?;
        }
    }
    Ok(())
}

#[test]
fn gradients_equal_finite_differences() -> Result<()> {
    each_case(|what, case| {
        let inputs = case.inputs(1)?;
        let (output, gradients) = case.gradients(&inputs, Activations::from_tensor)?;
        let factors = factors(&output)?;
        let step = 1e-5;
        for (index, gradient) in gradients.iter().enumerate() {
            let base = values(&inputs[index])?;
            let mut numeric = Vec::with_capacity(base.len());
            for i in 0..base.len() {
                let side = |offset: f64| {
                    let mut moved = base.clone();
                    moved[i] += offset;
                    let mut inputs = inputs.clone();
                    inputs[index] = Tensor::from_vec(moved, inputs[index].shape(), &Device::Cpu)?;
                    (case.run(&inputs, Activations::from_tensor)? * &factors)?.sum_all()?.to_scalar::<f64>()
                };
                numeric.push((side(step)? - side(-step)?) / (2.0 * step));
            }
            let numeric = Tensor::from_vec(numeric, gradient.shape(), &Device::Cpu)?;
            assert_close(&format!("{what}, gradient of input {index}"), gradient, &numeric, 1e-6)?;
        }
        Ok(())
    })
}

#[test]
fn native_equals_stock_in_both_types() -> Result<()> {
    each_case(|what, case| {
        let inputs = case.inputs(2)?;
        let (reference, reference_gradients) = case.gradients(&inputs, stock)?;
        for (dtype, tolerance) in [(DType::F64, 1e-10), (DType::F32, 2e-5)] {
            let inputs = inputs.iter().map(|t| t.to_dtype(dtype)).collect::<Result<Vec<_>>>()?;
            let (output, gradients) = case.gradients(&inputs, Activations::from_tensor)?;
            assert_eq!(output.dtype(), dtype, "{what}");
            assert_close(&format!("{what} {dtype:?}"), &output, &reference, tolerance)?;
            for (index, (a, b)) in gradients.iter().zip(&reference_gradients).enumerate() {
                assert_close(&format!("{what} {dtype:?}, gradient of input {index}"), a, b, tolerance)?;
            }
        }
        Ok(())
    })
}

#[test]
fn collected_gradients_equal_candles_own() -> Result<()> {
    each_case(|what, case| {
        let inputs = case.inputs(4)?.iter().map(|t| t.to_dtype(DType::F32)).collect::<Result<Vec<_>>>()?;
        let vars = inputs.iter().map(Var::from_tensor).collect::<Result<Vec<_>>>()?;
        let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
        let output = case.run(&tensors, Activations::from_tensor)?;
        let loss = (&output * factors(&output)?)?.sum_all()?;
        let (ours, candles) = (backward(&loss)?, loss.backward()?);
        for var in &vars {
            match (ours.tensor(var)?, candles.get(var)) {
                (Some(a), Some(b)) => assert_close(what, &a, b, 0.0)?,
                (a, b) => assert!(a.is_none() && b.is_none(), "{what}"),
            }
        }
        Ok(())
    })
}

#[test]
fn names_are_unique() {
    let mut names: Vec<_> = OpKind::ALL.iter().map(|kind| kind.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), OpKind::ALL.len());
}

#[test]
fn the_number_of_threads_changes_no_bit() -> Result<()> {
    let run = |threads: usize| -> Result<Vec<Vec<f64>>> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(candle_core::Error::wrap)?;
        pool.install(|| {
            let mut results = Vec::new();
            each_case(|_, case| {
                let inputs = case.inputs(3)?.iter().map(|t| t.to_dtype(DType::F32)).collect::<Result<Vec<_>>>()?;
                let (output, gradients) = case.gradients(&inputs, Activations::from_tensor)?;
                results.push(values(&output)?);
                for gradient in gradients {
                    results.push(values(&gradient)?);
                }
                Ok(())
            })?;
            Ok(results)
        })
    };
    let one = run(1)?;
    assert!(one == run(2)? && one == run(7)?);
    Ok(())
}

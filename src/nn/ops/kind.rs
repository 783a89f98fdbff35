//! The register of every native op. An op cannot record itself for backward without a kind, and the tests match on
//! all kinds, so an op without a check does not compile.

/// The native ops: those with kernels and a backward pass of our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpKind {
    /// A candle tensor becomes a native value.
    Enter,
    /// A native value becomes a candle tensor.
    Leave,
    /// 2D convolution, fused with concatenation, bilinear enlargement, normalization and activation.
    Conv,
    /// Nearest-neighbour enlargement by two and the convolution after it, folded into one.
    NearestUpConv,
    /// Fully connected layer with bias and activation.
    Linear,
    /// A point-wise activation on its own.
    Activation,
    /// Sum of two values of one shape.
    Add,
    /// Product of two values of one shape, element by element.
    Mul,
    /// Multiplication by one number and addition of another.
    Scale,
    /// Values joined along dimension 1.
    Concat,
    /// The same elements under another shape.
    Reshape,
    /// Each pixel repeated by whole factors.
    UpsampleNearest,
    /// Bilinear resampling to any size, `align_corners = false`.
    UpsampleBilinear,
    /// Means of windows.
    AvgPool,
    /// Maxima of windows.
    MaxPool,
    /// Each plane of each sample normalized by itself.
    InstanceNorm,
    /// Groups of neighbouring channels of each sample normalized together.
    GroupNorm,
    /// Each channel normalized over batch and pixels.
    BatchNorm,
    /// Each row of the last dimension normalized by itself.
    LayerNorm,
    /// Softmax along one dimension.
    Softmax,
    /// Elements zeroed at random, the others scaled to keep the mean.
    Dropout,
    /// Images enlarged by mirroring at their edges.
    ReflectionPad,
    /// Vectors added to all pixels of images, one or several to an image.
    BroadcastAdd,
    /// Images read at given places, bilinearly.
    GridSample,
    /// A weight divided by the estimate of its largest singular value.
    SpectralNorm,
    /// Mean cross-entropy of logits with targets in `[0, 1]`.
    SigmoidCrossEntropy,
    /// Mean cross-entropy of logits with class numbers.
    SoftmaxCrossEntropy,
    /// Least-squares GAN loss, which runs as [`Self::SquaredError`] against a constant.
    LeastSquares,
    /// Mean pairwise squared error (RCAN), blind to a constant offset.
    PairwiseSquaredError,
    /// Mean absolute error.
    AbsoluteError,
    /// Mean squared error.
    SquaredError,
}

impl OpKind {
    /// All ops, each once, in the order of their declaration.
    pub const ALL: [Self; 31] = [
        Self::Enter,
        Self::Leave,
        Self::Conv,
        Self::NearestUpConv,
        Self::Linear,
        Self::Activation,
        Self::Add,
        Self::Mul,
        Self::Scale,
        Self::Concat,
        Self::Reshape,
        Self::UpsampleNearest,
        Self::UpsampleBilinear,
        Self::AvgPool,
        Self::MaxPool,
        Self::InstanceNorm,
        Self::GroupNorm,
        Self::BatchNorm,
        Self::LayerNorm,
        Self::Softmax,
        Self::Dropout,
        Self::ReflectionPad,
        Self::BroadcastAdd,
        Self::GridSample,
        Self::SpectralNorm,
        Self::SigmoidCrossEntropy,
        Self::SoftmaxCrossEntropy,
        Self::LeastSquares,
        Self::PairwiseSquaredError,
        Self::AbsoluteError,
        Self::SquaredError,
    ];

    /// The name candle shows in its errors.
    pub fn name(self) -> &'static str {
        match self {
            Self::Enter => "bingrasp-enter",
            Self::Leave => "bingrasp-leave",
            Self::Conv => "bingrasp-conv",
            Self::NearestUpConv => "bingrasp-nearest-up-conv",
            Self::Linear => "bingrasp-linear",
            Self::Activation => "bingrasp-activation",
            Self::Add => "bingrasp-add",
            Self::Mul => "bingrasp-mul",
            Self::Scale => "bingrasp-scale",
            Self::Concat => "bingrasp-concat",
            Self::Reshape => "bingrasp-reshape",
            Self::UpsampleNearest => "bingrasp-upsample-nearest",
            Self::UpsampleBilinear => "bingrasp-upsample-bilinear",
            Self::AvgPool => "bingrasp-avg-pool",
            Self::MaxPool => "bingrasp-max-pool",
            Self::InstanceNorm => "bingrasp-instance-norm",
            Self::GroupNorm => "bingrasp-group-norm",
            Self::BatchNorm => "bingrasp-batch-norm",
            Self::LayerNorm => "bingrasp-layer-norm",
            Self::Softmax => "bingrasp-softmax",
            Self::Dropout => "bingrasp-dropout",
            Self::ReflectionPad => "bingrasp-reflection-pad",
            Self::BroadcastAdd => "bingrasp-broadcast-add",
            Self::GridSample => "bingrasp-grid-sample",
            Self::SpectralNorm => "bingrasp-spectral-norm",
            Self::SigmoidCrossEntropy => "bingrasp-sigmoid-cross-entropy",
            Self::SoftmaxCrossEntropy => "bingrasp-softmax-cross-entropy",
            Self::LeastSquares => "bingrasp-least-squares",
            Self::PairwiseSquaredError => "bingrasp-pairwise-squared-error",
            Self::AbsoluteError => "bingrasp-absolute-error",
            Self::SquaredError => "bingrasp-squared-error",
        }
    }
}

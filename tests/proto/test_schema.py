"""The numbers of the messages: what binary files depend on."""

import copy
import gc
import pickle

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from sscaffe.proto import caffe_pb2

# Fields and numbers of BVLC Caffe 1.0, message by message.
CAFFE = {
    "BlobShape": "dim 1",
    "BlobProto": """num 1 channels 2 height 3 width 4 data 5 diff 6 shape 7 double_data 8
        double_diff 9""",
    "BlobProtoVector": "blobs 1",
    "Datum": "channels 1 height 2 width 3 data 4 label 5 float_data 6 encoded 7",
    "FillerParameter": "type 1 value 2 min 3 max 4 mean 5 std 6 sparse 7 variance_norm 8",
    "NetParameter": """name 1 layers 2 input 3 input_dim 4 force_backward 5 state 6 debug_info 7
        input_shape 8 layer 100""",
    "SolverParameter": """train_net 1 test_net 2 test_iter 3 test_interval 4 base_lr 5 display 6
        max_iter 7 lr_policy 8 gamma 9 power 10 momentum 11 weight_decay 12 stepsize 13 snapshot 14
        snapshot_prefix 15 snapshot_diff 16 solver_mode 17 device_id 18 test_compute_loss 19
        random_seed 20 train_net_param 21 test_net_param 22 debug_info 23 net 24 net_param 25
        train_state 26 test_state 27 snapshot_after_train 28 regularization_type 29 solver_type 30
        delta 31 test_initialization 32 average_loss 33 stepvalue 34 clip_gradients 35 iter_size 36
        snapshot_format 37 rms_decay 38 momentum2 39 type 40 layer_wise_reduce 41 weights 42""",
    "SolverState": "iter 1 learned_net 2 history 3 current_step 4",
    "NetState": "phase 1 level 2 stage 3",
    "NetStateRule": "phase 1 min_level 2 max_level 3 stage 4 not_stage 5",
    "ParamSpec": "name 1 share_mode 2 lr_mult 3 decay_mult 4",
    "LayerParameter": """name 1 type 2 bottom 3 top 4 loss_weight 5 param 6 blobs 7 include 8
        exclude 9 phase 10 propagate_down 11 transform_param 100 loss_param 101 accuracy_param 102
        argmax_param 103 concat_param 104 contrastive_loss_param 105 convolution_param 106
        data_param 107 dropout_param 108 dummy_data_param 109 eltwise_param 110 exp_param 111
        hdf5_data_param 112 hdf5_output_param 113 hinge_loss_param 114 image_data_param 115
        infogain_loss_param 116 inner_product_param 117 lrn_param 118 memory_data_param 119
        mvn_param 120 pooling_param 121 power_param 122 relu_param 123 sigmoid_param 124
        softmax_param 125 slice_param 126 tanh_param 127 threshold_param 128 window_data_param 129
        python_param 130 prelu_param 131 spp_param 132 reshape_param 133 log_param 134
        flatten_param 135 reduction_param 136 embed_param 137 tile_param 138 batch_norm_param 139
        elu_param 140 bias_param 141 scale_param 142 input_param 143 crop_param 144
        parameter_param 145 recurrent_param 146 swish_param 147 clip_param 148""",
    "TransformationParameter": """scale 1 mirror 2 crop_size 3 mean_file 4 mean_value 5
        force_color 6 force_gray 7""",
    "LossParameter": "ignore_label 1 normalize 2 normalization 3",
    "AccuracyParameter": "top_k 1 axis 2 ignore_label 3",
    "ArgMaxParameter": "out_max_val 1 top_k 2 axis 3",
    "BatchNormParameter": "use_global_stats 1 moving_average_fraction 2 eps 3",
    "BiasParameter": "axis 1 num_axes 2 filler 3",
    "ClipParameter": "min 1 max 2",
    "ConcatParameter": "concat_dim 1 axis 2",
    "ContrastiveLossParameter": "margin 1 legacy_version 2",
    "ConvolutionParameter": """num_output 1 bias_term 2 pad 3 kernel_size 4 group 5 stride 6
        weight_filler 7 bias_filler 8 pad_h 9 pad_w 10 kernel_h 11 kernel_w 12 stride_h 13
        stride_w 14 engine 15 axis 16 force_nd_im2col 17 dilation 18""",
    "CropParameter": "axis 1 offset 2",
    "DataParameter": """source 1 scale 2 mean_file 3 batch_size 4 crop_size 5 mirror 6 rand_skip 7
        backend 8 force_encoded_color 9 prefetch 10""",
    "DropoutParameter": "dropout_ratio 1",
    "DummyDataParameter": "data_filler 1 num 2 channels 3 height 4 width 5 shape 6",
    "EltwiseParameter": "operation 1 coeff 2 stable_prod_grad 3",
    "ELUParameter": "alpha 1",
    "EmbedParameter": "num_output 1 input_dim 2 bias_term 3 weight_filler 4 bias_filler 5",
    "ExpParameter": "base 1 scale 2 shift 3",
    "FlattenParameter": "axis 1 end_axis 2",
    "HDF5DataParameter": "source 1 batch_size 2 shuffle 3",
    "HDF5OutputParameter": "file_name 1",
    "HingeLossParameter": "norm 1",
    "ImageDataParameter": """source 1 scale 2 mean_file 3 batch_size 4 crop_size 5 mirror 6
        rand_skip 7 shuffle 8 new_height 9 new_width 10 is_color 11 root_folder 12""",
    "InfogainLossParameter": "source 1 axis 2",
    "InnerProductParameter": """num_output 1 bias_term 2 weight_filler 3 bias_filler 4 axis 5
        transpose 6""",
    "InputParameter": "shape 1",
    "LogParameter": "base 1 scale 2 shift 3",
    "LRNParameter": "local_size 1 alpha 2 beta 3 norm_region 4 k 5 engine 6",
    "MemoryDataParameter": "batch_size 1 channels 2 height 3 width 4",
    "MVNParameter": "normalize_variance 1 across_channels 2 eps 3",
    "ParameterParameter": "shape 1",
    "PoolingParameter": """pool 1 kernel_size 2 stride 3 pad 4 kernel_h 5 kernel_w 6 stride_h 7
        stride_w 8 pad_h 9 pad_w 10 engine 11 global_pooling 12 round_mode 13""",
    "PowerParameter": "power 1 scale 2 shift 3",
    "PReLUParameter": "filler 1 channel_shared 2",
    "PythonParameter": "module 1 layer 2 param_str 3 share_in_parallel 4",
    "RecurrentParameter": """num_output 1 weight_filler 2 bias_filler 3 debug_info 4
        expose_hidden 5""",
    "ReductionParameter": "operation 1 axis 2 coeff 3",
    "ReLUParameter": "negative_slope 1 engine 2",
    "ReshapeParameter": "shape 1 axis 2 num_axes 3",
    "ScaleParameter": "axis 1 num_axes 2 filler 3 bias_term 4 bias_filler 5",
    "SigmoidParameter": "engine 1",
    "SliceParameter": "slice_dim 1 slice_point 2 axis 3",
    "SoftmaxParameter": "engine 1 axis 2",
    "SPPParameter": "pyramid_height 1 pool 2 engine 6",
    "SwishParameter": "beta 1",
    "TanHParameter": "engine 1",
    "ThresholdParameter": "threshold 1",
    "TileParameter": "axis 1 tiles 2",
    "WindowDataParameter": """source 1 scale 2 mean_file 3 batch_size 4 crop_size 5 mirror 6
        fg_threshold 7 bg_threshold 8 fg_fraction 9 context_pad 10 crop_mode 11 cache_images 12
        root_folder 13""",
    "V1LayerParameter": """layer 1 bottom 2 top 3 name 4 type 5 blobs 6 blobs_lr 7 weight_decay 8
        concat_param 9 convolution_param 10 data_param 11 dropout_param 12 hdf5_data_param 13
        hdf5_output_param 14 image_data_param 15 infogain_loss_param 16 inner_product_param 17
        lrn_param 18 pooling_param 19 window_data_param 20 power_param 21 memory_data_param 22
        argmax_param 23 eltwise_param 24 threshold_param 25 dummy_data_param 26 accuracy_param 27
        hinge_loss_param 29 relu_param 30 slice_param 31 include 32 exclude 33 mvn_param 34
        loss_weight 35 transform_param 36 tanh_param 37 sigmoid_param 38 softmax_param 39
        contrastive_loss_param 40 exp_param 41 loss_param 42 param 1001 blob_share_mode 1002""",
    "V0LayerParameter": """name 1 type 2 num_output 3 biasterm 4 weight_filler 5 bias_filler 6 pad 7
        kernelsize 8 group 9 stride 10 pool 11 dropout_ratio 12 local_size 13 alpha 14 beta 15
        source 16 scale 17 meanfile 18 batchsize 19 cropsize 20 mirror 21 k 22 blobs 50 blobs_lr 51
        weight_decay 52 rand_skip 53 det_fg_threshold 54 det_bg_threshold 55 det_fg_fraction 56
        det_context_pad 58 det_crop_mode 59 new_num 60 new_channels 61 new_height 62 new_width 63
        shuffle_images 64 concat_dim 65 hdf5_output_param 1001""",
}

# What the relatives add: rules S2 to S7, and what is new here.
ADDED = {
    "NetParameter": "engine 9 layer_count 3001 version 3002",
    "ParamSpec": """breadth_decay_mult 5 kernel_shape_decay_mult 6 block_group_lasso 7
        regularization_type 8 decay_proto 9 force_regularize 105 force_mult 106
        group_decay_mult 3001""",
    "BlockGroupLassoSpec": "xdimen 1 ydimen 2 block_decay_mult 3 group 3001",
    "ForceRegular": "xdim 1 ydim 2 multi 3",
    "LayerParameter": """connectivity_mode 12 display 1012 sparsify_param 1147
        symmetric_rectify_param 1148 engine 149 multinode 150 mn_activation_param 151
        box_annotator_ohem_param 152 psroi_pooling_param 153 roi_pooling_param 154
        spatial_dropout_param 155 mn_grad_compress_param 156 quantization_param 158 reorg_param 159
        annotated_data_param 200 multibox_loss_param 201 permute_param 202 prior_box_param 203
        detection_output_param 204 detection_evaluate_param 205 norm_param 206 video_data_param 207
        split_param 208 region_loss_param 209 eval_detection_param 301 smooth_l1_loss_param 2148
        cconvolution_param 3011 cinner_product_param 3012 interp_param 3013 upsample_param 3014
        shuffle_channel_param 3021""",
    "SparsifyParameter": "thre 1 coef 2",
    "SymmetricRectifyParameter": "filler 1 channel_shared 2 thre_decay 3",
    "SolverParameter": """breadth_decay 1001 kernel_shape_decay 1002 block_group_decay 1003
        group_weight_decay 1004
        force_type 1011 force_decay 1012 force_iter 1013 force_decay_type 1014 force_direction 1015
        prune_threshold 1021 measure_threshold 1022 max_threshold_factor 1023
        winograd_sparsity_factor 1024 winograd_adjust_threshold 1025 eval_type 1101 ap_version 1102
        show_per_class_result 1103 plateau_winsize 1104 disabled_update 1105 engine 1106
        warmup_iter 1107 warmup_start_lr 1108 local_lr_auto 1109 local_gw_ratio 1110
        prune_scope 3001 regularization_step 3002 lasso_warmup_iter 3003
        target_sparsity 3004 target_flops 3005 target_interval 3006""",
    "SolverState": """minimum_loss 5 iter_last_event 6 random_state 3001 data_cursor 3002 mask 3003
        smoothed_losses 3004 solver_type 3005 model_size 3006 model_crc32 3007
        rank_random_state 3008 net_name 3009 architecture 3010 architecture_hash 3011""",
    "LossParameter": "pre_fixed_normalizer 4",
    "BatchNormParameter": "engine 4 use_weight_bias 5 bias_term 6 filler 7 bias_filler 8",
    "ConcatParameter": "engine 3",
    "ConvolutionParameter": """relu 19 negative_slope 20 conv_mode 21 dump_parameter 22
        dump_activation 23 parameter_sparsity_pattern_histogram 24 conv_algorithm 2021 pad_l 3001
        pad_r 3002 pad_t 3003 pad_b 3004""",
    "DataParameter": "shuffle 11",
    "EltwiseParameter": "engine 4",
    "InnerProductParameter": """gemm_mode 7 spmdm_transpose_in 8 spmdm_transpose_out 9
        dump_parameter 10 dump_activation 11 engine 2007 relu 2008 negative_slope 2009""",
    "PoolingParameter": """avg_include_pad 2013 ceil_mode 3001 pad_l 3002 pad_r 3003 pad_t 3004
        pad_b 3005""",
    "CConvolutionParameter": """gamma 1 power 2 c_rate 3 iter_stop 4 weight_mask_filler 5
        bias_mask_filler 6""",
    "InterpParameter": "height 1 width 2 zoom_factor 3 shrink_factor 4 pad_beg 5 pad_end 6",
    "UpsampleParameter": """scale 1 scale_h 2 scale_w 3 pad_out_h 4 pad_out_w 5 upsample_h 6
        upsample_w 7""",
    "ShuffleChannelParameter": "group 1",
}

# Defaults that are not the type's own zero, as Caffe and its relatives publish them.
DEFAULTS = {
    "FillerParameter": {"type": "constant", "max": 1.0, "std": 1.0, "sparse": -1},
    "NetState": {"phase": 1},
    "ParamSpec": {
        "lr_mult": 1.0,
        "decay_mult": 1.0,
        "breadth_decay_mult": 0.0,
        "kernel_shape_decay_mult": 0.0,
        "force_mult": 0.0,
        "regularization_type": "",
    },
    "BlockGroupLassoSpec": {"xdimen": 1, "ydimen": 1, "block_decay_mult": 1.0, "group": 0},
    "SolverParameter": {
        "test_initialization": True,
        "average_loss": 1,
        "iter_size": 1,
        "regularization_type": "L2",
        "clip_gradients": -1.0,
        "snapshot_format": 1,
        "snapshot_after_train": True,
        "solver_mode": 1,
        "random_seed": -1,
        "type": "SGD",
        "delta": pytest.approx(1e-8),
        "momentum2": pytest.approx(0.999),
        "rms_decay": pytest.approx(0.99),
        "layer_wise_reduce": True,
        "force_type": "Degradation",
        "force_iter": -1,
        "force_decay_type": "fixed",
        "force_direction": "all",
        "measure_threshold": pytest.approx(1e-4),
        "max_threshold_factor": 1.0,
        "winograd_adjust_threshold": 1,
        "prune_scope": 0,
        "regularization_step": 0,
        "lasso_warmup_iter": 0,
        "target_interval": 100,
    },
    "TransformationParameter": {"scale": 1.0},
    "LossParameter": {"normalization": 1},
    "AccuracyParameter": {"top_k": 1, "axis": 1},
    "ArgMaxParameter": {"top_k": 1},
    "BatchNormParameter": {
        "moving_average_fraction": pytest.approx(0.999),
        "eps": pytest.approx(1e-5),
        "use_weight_bias": True,
        "bias_term": True,
    },
    "BiasParameter": {"axis": 1, "num_axes": 1},
    "ConcatParameter": {"axis": 1, "concat_dim": 1},
    "ContrastiveLossParameter": {"margin": 1.0},
    "ConvolutionParameter": {"bias_term": True, "group": 1, "axis": 1, "conv_mode": 0},
    "CropParameter": {"axis": 2},
    "DataParameter": {"backend": 0, "scale": 1.0, "prefetch": 4},
    "DropoutParameter": {"dropout_ratio": 0.5},
    "EltwiseParameter": {"operation": 1, "stable_prod_grad": True},
    "ELUParameter": {"alpha": 1.0},
    "EmbedParameter": {"bias_term": True},
    "ExpParameter": {"base": -1.0, "scale": 1.0},
    "FlattenParameter": {"axis": 1, "end_axis": -1},
    "HingeLossParameter": {"norm": 1},
    "ImageDataParameter": {"batch_size": 1, "is_color": True, "scale": 1.0},
    "InfogainLossParameter": {"axis": 1},
    "InnerProductParameter": {
        "bias_term": True,
        "axis": 1,
        "spmdm_transpose_in": True,
        "spmdm_transpose_out": True,
    },
    "LogParameter": {"base": -1.0, "scale": 1.0},
    "LRNParameter": {"local_size": 5, "alpha": 1.0, "beta": 0.75, "k": 1.0},
    "MVNParameter": {"normalize_variance": True, "eps": pytest.approx(1e-9)},
    "PoolingParameter": {"stride": 1, "avg_include_pad": True, "ceil_mode": True},
    "PowerParameter": {"power": 1.0, "scale": 1.0},
    "ReductionParameter": {"operation": 1, "coeff": 1.0},
    "ReshapeParameter": {"num_axes": -1},
    "ScaleParameter": {"axis": 1, "num_axes": 1},
    "SliceParameter": {"axis": 1, "slice_dim": 1},
    "SoftmaxParameter": {"axis": 1},
    "SwishParameter": {"beta": 1.0},
    "TileParameter": {"axis": 1},
    "WindowDataParameter": {
        "scale": 1.0,
        "fg_threshold": 0.5,
        "bg_threshold": 0.5,
        "fg_fraction": 0.25,
        "crop_mode": "warp",
    },
}

ENUMS = {
    "Phase": "TRAIN 0 TEST 1",
    "FillerParameter.VarianceNorm": "FAN_IN 0 FAN_OUT 1 AVERAGE 2",
    "SolverParameter.SnapshotFormat": "HDF5 0 BINARYPROTO 1",
    "SolverParameter.SolverMode": "CPU 0 GPU 1",
    "SolverParameter.SolverType": "SGD 0 NESTEROV 1 ADAGRAD 2 RMSPROP 3 ADADELTA 4 ADAM 5",
    "SolverParameter.PruneScope": "WEIGHTS 0 ALL 1",
    "ParamSpec.DimCheckMode": "STRICT 0 PERMISSIVE 1",
    "BlockGroupLassoSpec.GroupKind": "BLOCK 0 FILTER 1 CHANNEL 2 SHAPE 3 DEPTH 4 FILTER2D 5",
    "LayerParameter.ConnectivityMode": """CONNECTED 0 DISCONNECTED_ELTWISE 1
        DISCONNECTED_GRPWISE 2""",
    "ConvolutionParameter.ConvMode": """LOWERED_GEMM 0 LOWERED_CSRMM 1 LOWERED_CCNMM 2
        DIRECT_SCONV 3 DIRECT_DCONV 4 AUTO 5""",
    "ConvolutionParameter.Engine": "DEFAULT 0 CAFFE 1 CUDNN 2 MKL2017 3 MKLDNN 4",
    "InnerProductParameter.GemmMode": "GEMM 0 SPMDM 1 SPGEMM 2 CCNMM 3",
    "LossParameter.NormalizationMode": "FULL 0 VALID 1 BATCH_SIZE 2 NONE 3 PRE_FIXED 2003",
    "DataParameter.DB": "LEVELDB 0 LMDB 1",
    "EltwiseParameter.EltwiseOp": "PROD 0 SUM 1 MAX 2",
    "HingeLossParameter.Norm": "L1 1 L2 2",
    "LRNParameter.NormRegion": "ACROSS_CHANNELS 0 WITHIN_CHANNEL 1",
    "PoolingParameter.PoolMethod": "MAX 0 AVE 1 STOCHASTIC 2",
    "PoolingParameter.RoundMode": "CEIL 0 FLOOR 1",
    "ReductionParameter.ReductionOp": "SUM 1 ASUM 2 SUMSQ 3 MEAN 4",
    "V1LayerParameter.LayerType": """NONE 0 ABSVAL 35 ACCURACY 1 ARGMAX 30 BNLL 2 CONCAT 3
        CONTRASTIVE_LOSS 37 CONVOLUTION 4 DATA 5 DECONVOLUTION 39 DROPOUT 6 DUMMY_DATA 32
        EUCLIDEAN_LOSS 7 ELTWISE 25 EXP 38 FLATTEN 8 HDF5_DATA 9 HDF5_OUTPUT 10 HINGE_LOSS 28
        IM2COL 11 IMAGE_DATA 12 INFOGAIN_LOSS 13 INNER_PRODUCT 14 LRN 15 LRN_MAP 1001 MEMORY_DATA 29
        MULTINOMIAL_LOGISTIC_LOSS 16 MVN 34 POOLING 17 POWER 26 RELU 18 SIGMOID 19
        SIGMOID_CROSS_ENTROPY_LOSS 27 SILENCE 36 SOFTMAX 20 SOFTMAX_LOSS 21 SPLIT 22 SLICE 33
        TANH 23 WINDOW_DATA 24 THRESHOLD 31""",
}

MESSAGES = caffe_pb2.DESCRIPTOR.message_types_by_name


def table(text):
    words = text.split()
    return dict(zip(words[::2], map(int, words[1::2]), strict=True))


def numbers(name):
    return {field.name: field.number for field in MESSAGES[name].fields}


@pytest.mark.parametrize("name", sorted(CAFFE | ADDED))
def test_fields_have_their_published_numbers(name):
    assert numbers(name) == table(CAFFE.get(name, "")) | table(ADDED.get(name, ""))


@pytest.mark.parametrize("name", sorted(CAFFE))
def test_nothing_is_added_under_a_number_of_caffe(name):
    assert not set(table(CAFFE[name]).values()) & set(table(ADDED.get(name, "")).values())


@pytest.mark.parametrize("name", sorted(CAFFE | ADDED))
def test_defaults(name):
    wanted = DEFAULTS.get(name, {})
    for field in MESSAGES[name].fields:
        if field.name in wanted:
            assert field.default_value == wanted[field.name], field.name


def test_defaults_name_fields_that_exist():
    for name, wanted in DEFAULTS.items():
        assert set(wanted) <= set(numbers(name)), name


@pytest.mark.parametrize("name", sorted(ENUMS))
def test_enums_have_their_published_values(name):
    *outer, inner = name.split(".")
    scope = MESSAGES[outer[0]] if outer else caffe_pb2.DESCRIPTOR
    values = scope.enum_types_by_name[inner].values
    assert {value.name: value.number for value in values} == table(ENUMS[name])


def test_no_field_is_required():
    file = descriptor_pb2.FileDescriptorProto()
    caffe_pb2.DESCRIPTOR.CopyToProto(file)
    for message in file.message_type:
        for field in message.field:
            assert field.label != descriptor_pb2.FieldDescriptorProto.LABEL_REQUIRED, field.name


def test_arrays_are_packed():
    blob = caffe_pb2.BlobProto(data=[1.0, 2.0], double_data=[3.0])
    assert blob.SerializeToString().hex() == "2a080000803f00000040" + "42080000000000000840"


def test_an_unset_threshold_can_be_told_from_zero():
    solver = caffe_pb2.SolverParameter()
    assert not solver.HasField("prune_threshold")
    solver.prune_threshold = 0
    assert solver.HasField("prune_threshold")


def test_a_clip_layer_of_another_relative_does_not_spoil_the_file():
    # A message at number 148 without min and max, as intel/caffe and sfm write one.
    layer = caffe_pb2.LayerParameter.FromString(bytes([0x0A, 1, ord("a"), 0xA2, 0x09, 0]))
    assert layer.name == "a"
    assert not layer.clip_param.HasField("min")


def test_state_of_caffe_keeps_its_bytes_and_ours_is_skipped_by_number():
    state = caffe_pb2.SolverState(iter=5, learned_net="a.caffemodel", current_step=1)
    plain = state.SerializeToString()
    state.random_state = b"\x01"
    state.data_cursor.add(layer="data", test_net=0, state='{"record": 7}')
    state.mask.add(layer="conv1", param=0, bits=b"\x05").shape.dim.extend([3])
    assert state.SerializeToString().startswith(plain)
    assert caffe_pb2.SolverState.FromString(state.SerializeToString()) == state


def test_another_caffe_may_live_in_the_same_process():
    file = descriptor_pb2.FileDescriptorProto(name="caffe.proto", package="caffe", syntax="proto2")
    message = file.message_type.add(name="NetParameter")
    message.field.add(name="other", number=1, type=5, label=1)
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    other = message_factory.GetMessageClass(pool.FindMessageTypeByName("caffe.NetParameter"))
    assert other(other=3).other == 3
    assert caffe_pb2.NetParameter(name="a").name == "a"
    assert caffe_pb2.DESCRIPTOR.pool is not pool


def test_messages_outlive_the_collection_of_their_pool():
    gc.collect()
    net = caffe_pb2.NetParameter()
    net.layer.add(name="a").param.add().block_group_lasso.add(group="FILTER")
    merged = caffe_pb2.NetParameter()
    merged.MergeFrom(net)
    assert merged == net
    assert copy.deepcopy(net) == net


def test_messages_can_be_sent_to_another_process():
    layer = caffe_pb2.LayerParameter(name="a", type="ReLU")
    assert pickle.loads(pickle.dumps(layer)) == layer

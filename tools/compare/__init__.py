"""Agreement of sscaffe with BVLC Caffe on nets that mix layer types: see tools/compare_caffe.py."""

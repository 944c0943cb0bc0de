// Sizes of a convolution x [N,C,H,W] * weight [K,C/groups,R,S] -> y [N,K,P,Q], as the host passes
// them: minigan/backends/cuda/conv.py has the same fields in the same order.
#pragma once

struct Conv {
  int N, C, H, W;
  int K, R, S;
  int P, Q;
  int stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w;
  int groups;
};

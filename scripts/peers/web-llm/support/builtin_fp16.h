// In place of 3rdparty/compiler-rt/builtin_fp16.h: f32 of the bits of an f16.
#pragma once
#include <cstdint>
#include <cstring>
template <typename From, typename FromBits, int from_mantissa, typename To, typename ToBits, int to_mantissa>
To __extendXfYf2__(From half) {
  static_assert(from_mantissa == 10 && to_mantissa == 23, "f16 to f32 alone");
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  const uint32_t exponent = (half >> 10) & 31, mantissa = half & 1023;
  if (exponent == 0) return (sign ? -1.0f : 1.0f) * static_cast<float>(mantissa) / 16777216.0f;
  const uint32_t bits = sign | (exponent == 31 ? 0x7f800000u : (exponent + 112) << 23) | (mantissa << 13);
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

#pragma once
#include <stdint.h>

class Led {
 public:
  explicit Led(uint8_t bit);
  void flip();

 private:
  uint8_t bit_;
};

#include <Led.h>
#include <util/delay.h>

static Led led(5);

int main() {
  for (;;) {
    led.flip();
    _delay_ms(500);
  }
}

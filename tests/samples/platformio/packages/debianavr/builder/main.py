"""How this platform builds: avr-gcc makes an .elf, objcopy a .hex of it."""

from SCons.Script import Builder, Default, DefaultEnvironment

env = DefaultEnvironment()
env.Replace(
    AR="avr-gcc-ar",
    ARFLAGS=["rcsD"],
    AS="avr-gcc",
    CC="avr-gcc",
    CXX="avr-g++",
    OBJCOPY="avr-objcopy",
    RANLIB="avr-gcc-ranlib",
    SIZETOOL="avr-size",
    PROGNAME="firmware",
    PROGSUFFIX=".elf",
)
env.Append(
    CCFLAGS=["-mmcu=$BOARD_MCU", "-Os", "-Wall", "-ffunction-sections", "-fdata-sections"],
    CXXFLAGS=["-std=gnu++11", "-fno-exceptions"],
    CPPDEFINES=[("F_CPU", "$BOARD_F_CPU")],
    LINKFLAGS=["-mmcu=$BOARD_MCU", "-Os", "-Wl,--gc-sections"],
    BUILDERS={
        "ElfToHex": Builder(
            action=env.VerboseAction("$OBJCOPY -O ihex -R .eeprom $SOURCES $TARGET", "Building $TARGET"), suffix=".hex"
        )
    },
)
program = env.BuildProgram()
Default([program, env.ElfToHex("$BUILD_DIR/${PROGNAME}", program)])

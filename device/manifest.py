# For MicroPython's build: the agent and its loader, frozen into firmware (docs/first-install.md).
# https://docs.micropython.org/en/latest/reference/manifest.html
package("ota", opt=3)
module("ota_loader.py", base_path="loader", opt=3)

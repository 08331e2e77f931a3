# MicroPython runs this first, and main.py in the same namespace.
import gc

from pepeunit_micropython_client.client import PepeunitClient

client = PepeunitClient(env_file_path="/env.json", schema_file_path="/schema.json")
client.wifi_manager.connect_forever()
gc.collect()

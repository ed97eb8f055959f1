"""A .tflite's flatbuffer as a tree of the schema's objects, and back."""

from typing import Any

IDENTIFIER = b"TFL3"


def unpack_model(model: bytes) -> Any:
    """The flatbuffer as a `ModelT` of the schema that comes with LiteRT."""
    from ai_edge_litert import schema_py_generated as schema

    return schema.ModelT.InitFromPackedBuf(model, 0)


def pack_model(tree: Any) -> bytes:
    """A `ModelT` as a flatbuffer, its weights at multiples of 16 bytes."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    class AlignedBuffer(schema.BufferT):  # type: ignore[misc]
        """Aligned as the schema's force_align asks; the generated packer forgets it."""

        def Pack(self, builder: Any) -> int:  # noqa: N802 - the generated code's name
            if self.data is None:
                return int(super().Pack(builder))
            data = bytes(self.data)
            builder.StartVector(1, len(data), 16)
            builder.head -= len(data)
            builder.Bytes[builder.head : builder.head + len(data)] = data
            vector = builder.EndVector()
            schema.BufferStart(builder)
            schema.BufferAddData(builder, vector)
            return int(schema.BufferEnd(builder))

    for item in tree.buffers:
        item.__class__ = AlignedBuffer
    size = sum(len(item.data) for item in tree.buffers if item.data is not None)
    builder = flatbuffers.Builder(size + 65536)
    builder.Finish(tree.Pack(builder), file_identifier=IDENTIFIER)
    return bytes(builder.Output())

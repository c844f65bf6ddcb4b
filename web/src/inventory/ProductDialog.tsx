/** Make a product, or change one: a change by somebody else in between is told, not overwritten. */

import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useId, useState } from "react";
import Modal from "react-bootstrap/Modal";
import { api, Problem, type Product, unwrap } from "../api/client";
import { keys } from "../api/keys";
import { useToast } from "../app/toasts";
import { Field } from "../ui/Field";
import { Failure } from "../ui/states";

interface Form {
  name: string;
  price: string;
  quantity: string;
  category: string;
  image: string;
  description: string;
}

function formOf(product: Product | null): Form {
  return {
    name: product?.name ?? "",
    price: product ? String(product.price) : "",
    quantity: "",
    category: product?.category ?? "",
    image: product?.image ?? "",
    description: product?.description ?? "",
  };
}

function save(product: Product | null, form: Form): Promise<Product> {
  const { name, category, image, description } = form;
  const shared = { name, category, image, description, price: Number(form.price) };
  if (!product) return unwrap<Product>(api.POST("/products/", { body: { ...shared, quantity: Number(form.quantity || 0) } }));
  return unwrap<Product>(
    api.PATCH("/products/{product_id}", {
      params: { path: { product_id: product.id }, header: { "if-match": `"${product.version}"` } },
      body: shared,
    }),
  );
}

export function ProductDialog({ product, onClose }: { product: Product | null; onClose: () => void }) {
  const [form, setForm] = useState(() => formOf(product));
  const id = useId();
  const cache = useQueryClient();
  const say = useToast();
  const saving = useMutation({
    mutationFn: () => save(product, form),
    onSuccess: (saved) => {
      cache.setQueryData(keys.product(saved.id), saved);
      say(`${saved.name} is saved.`);
      onClose();
    },
    onError: () => product && cache.invalidateQueries({ queryKey: keys.product(product.id) }),
  });
  const problem = saving.error instanceof Problem ? saving.error : null;
  const set = (field: keyof Form) => (value: string) => setForm((old) => ({ ...old, [field]: value }));
  return (
    <Modal show onHide={onClose} aria-labelledby={id} centered>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          saving.mutate();
        }}
      >
        <Modal.Header closeButton>
          <Modal.Title as="h2" id={id}>
            {product ? `Edit ${product.name}` : "New product"}
          </Modal.Title>
        </Modal.Header>
        <Modal.Body className="d-grid gap-3">
          <Field label="Name" value={form.name} onChange={set("name")} error={problem?.of("name")} required />
          <Field label="Price" type="number" step="0.01" min={0} value={form.price} onChange={set("price")} error={problem?.of("price")} required />
          {!product && <Field label="In stock" type="number" min={0} value={form.quantity} onChange={set("quantity")} error={problem?.of("quantity")} />}
          <Field label="Category" value={form.category} onChange={set("category")} error={problem?.of("category")} />
          <Field label="Picture's address" value={form.image} onChange={set("image")} error={problem?.of("image")} />
          <Field label="Description" rows={3} value={form.description} onChange={set("description")} error={problem?.of("description")} />
          {saving.error && (problem?.status === 412 ? <Changed /> : !problem?.body.errors?.length && <Failure error={saving.error} />)}
        </Modal.Body>
        <Modal.Footer>
          <button type="button" className="btn btn-outline-secondary" onClick={onClose}>
            Leave it
          </button>
          <button type="submit" className="btn btn-primary" disabled={saving.isPending}>
            Save
          </button>
        </Modal.Footer>
      </form>
    </Modal>
  );
}

function Changed() {
  return (
    <div className="alert alert-warning mb-0" role="alert">
      Somebody has changed this product meanwhile. Look at it again before you save.
    </div>
  );
}

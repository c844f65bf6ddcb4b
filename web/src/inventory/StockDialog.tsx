/** How many there are, why that changed, and recording another change. */

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useId, useState } from "react";
import Modal from "react-bootstrap/Modal";
import { api, Problem, type Product, type Schemas, unwrap } from "../api/client";
import { keys } from "../api/keys";
import { useToast } from "../app/toasts";
import { Field } from "../ui/Field";
import { formatCount, inWords } from "../ui/format";
import { Failure, Shown } from "../ui/states";
import { Ago } from "../ui/text";

const REASONS: Schemas["Reason"][] = ["delivery", "return", "correction", "damage", "loss", "other"];

export function StockDialog({ product, onClose }: { product: Product; onClose: () => void }) {
  const id = useId();
  const stock = useQuery({
    queryKey: keys.stock(product.id),
    queryFn: () => unwrap<Schemas["StockOut"]>(api.GET("/products/{product_id}/stock", { params: { path: { product_id: product.id } } })),
  });
  return (
    <Modal show onHide={onClose} aria-labelledby={id} centered>
      <Modal.Header closeButton>
        <Modal.Title as="h2" id={id}>
          Stock of {product.name}
        </Modal.Title>
      </Modal.Header>
      <Modal.Body className="d-grid gap-4">
        <Shown of={stock}>{(found) => <Counted stock={found} />}</Shown>
        <MoveForm product={product} />
      </Modal.Body>
    </Modal>
  );
}

function Counted({ stock }: { stock: Schemas["StockOut"] }) {
  return (
    <>
      <div className="d-flex gap-4">
        {(["on_hand", "reserved", "available"] as const).map((field) => (
          <div key={field}>
            <div className="figure-value">{formatCount(stock[field])}</div>
            <div className="figure-label">{inWords(field)}</div>
          </div>
        ))}
      </div>
      {stock.movements.length > 0 && (
        <table className="table table-sm">
          <tbody>
            {stock.movements.slice(0, 6).map((movement) => (
              <tr key={movement.id}>
                <td className="num fw-medium px-0">{movement.change > 0 ? `+${movement.change}` : movement.change}</td>
                <td>
                  {inWords(movement.reason)} <span className="text-secondary">{movement.note}</span>
                </td>
                <td className="right text-secondary px-0">
                  <Ago time={movement.created_at} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </>
  );
}

function MoveForm({ product }: { product: Product }) {
  const [change, setChange] = useState("");
  const [reason, setReason] = useState<Schemas["Reason"]>("delivery");
  const [note, setNote] = useState("");
  const cache = useQueryClient();
  const say = useToast();
  const move = useMutation({
    mutationFn: () => unwrap(api.POST("/products/{product_id}/stock", { params: { path: { product_id: product.id } }, body: { change: Number(change), reason, note } })),
    onSuccess: () => {
      setChange("");
      setNote("");
      say("The movement is recorded.");
      void cache.invalidateQueries({ queryKey: keys.stock(product.id) });
    },
  });
  const problem = move.error instanceof Problem ? move.error : null;
  return (
    <form
      className="d-grid gap-3"
      onSubmit={(event) => {
        event.preventDefault();
        move.mutate();
      }}
    >
      <Field label="Change" type="number" step="1" value={change} onChange={setChange} help="Less is negative." error={problem?.of("change")} required />
      <label>
        <span className="form-label d-block">Reason</span>
        <select className="form-select" value={reason} onChange={(event) => setReason(event.target.value as Schemas["Reason"])}>
          {REASONS.map((each) => (
            <option key={each} value={each}>
              {inWords(each)}
            </option>
          ))}
        </select>
      </label>
      <Field label="Note" value={note} onChange={setNote} maxLength={200} error={problem?.of("note")} />
      {move.error && !problem?.body.errors?.length && <Failure error={move.error} />}
      <div>
        <button type="submit" className="btn btn-primary" disabled={move.isPending || !Number(change)}>
          Record
        </button>
      </div>
    </form>
  );
}
